"""The command line: commands, options, and the message for a wrong one. Pure."""

import argparse
import difflib
import re
from collections.abc import Callable
from typing import Any, NoReturn

from runflow_mcp import __version__, lenient_json
from runflow_mcp.cli.welcome import DEFAULT_URL
from runflow_mcp.client_recipes import KEY_VARIABLE, recipes

#: Fixed, so that a firewall or a content security policy can allow links to the sandbox's media.
SANDBOX_PORT = 8090

#: The names that ``connect`` takes.
CLIENTS = tuple(recipe.name for recipe in recipes(DEFAULT_URL))
_ABOUT_THE_CLIENT = "argument CLIENT:"

#: Makes ``serve`` a worker of a parent process; only that parent uses it, so no help shows it.
WORKER_OPTION = "--worker"

Command = Callable[[argparse.Namespace], int]


class _SuggestingParser(argparse.ArgumentParser):
    """Suggests the nearest name for an unknown command or option."""

    def error(self, message: str) -> NoReturn:
        # Python 3.14 makes suggestions itself ("maybe you meant"); earlier versions do not.
        unknown = re.search(r"invalid choice: '([^']*)'|unrecognized arguments: (\S+)", message)
        word = (unknown[1] or unknown[2] or "") if unknown else ""
        names = CLIENTS if message.startswith(_ABOUT_THE_CLIENT) else sorted(self._names())
        nearest = difflib.get_close_matches(word.partition("=")[0], names, n=1)
        hint = f". Did you mean {nearest[0]}?" if nearest and "maybe you meant" not in message else ""
        super().error(f"{message}{hint}")

    def _names(self) -> set[str]:
        """Every command and every option, those of the commands included."""
        names: set[str] = set()
        for action in self._actions:
            names.update(() if action.help == argparse.SUPPRESS else action.option_strings)
            if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - it has no public name
                for name, parser in action.choices.items():
                    shown = [action for action in parser._actions if action.help != argparse.SUPPRESS]  # noqa: SLF001
                    options = (option for action in shown for option in action.option_strings)
                    names |= {name, *options}
        return names


def make_parser(
    *, serve: Command, sandbox: Command, check: Command, connect: Command, config: Command
) -> argparse.ArgumentParser:
    """The parser. ``command`` of a parsed namespace is the function to call with it."""
    top = _SuggestingParser(prog="runflow-mcp", description="An MCP server in front of Runflow.")
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("serve", help="run the server, configured by the environment and .env")
    command.add_argument("--sandbox", action="store_true", help="use a simulated Runflow inside this process")
    command.add_argument(WORKER_OPTION, action="store_true", help=argparse.SUPPRESS)
    command.set_defaults(command=serve)

    command = commands.add_parser("sandbox", help="run only the simulated Runflow")
    command.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    command.add_argument("--port", type=_port, default=SANDBOX_PORT, help="port (default: %(default)s)")
    command.add_argument("--speed", type=_speed, default=1.0, help="how many times faster runs finish (default: 1)")
    command.set_defaults(command=sandbox)

    command = commands.add_parser("check", help="test a running server; every failure comes with its fix")
    command.add_argument(
        "url", metavar="URL", nargs="?", default=DEFAULT_URL, help="the server's URL (default: %(default)s)"
    )
    command.add_argument(
        "--key",
        help=f"your Runflow API key. Other users of this machine can see it in the process list: better set "
        f"{KEY_VARIABLE}, or leave both out to be asked for it",
    )
    command.add_argument(
        "--generate",
        nargs=2,
        action=_ModelAndInput,
        metavar=("MODEL", "JSON"),
        help="also run this model with this input (may cost money)",
    )
    command.add_argument("--json", action="store_true", help="print one JSON object, for scripts")
    command.set_defaults(command=check)

    command = commands.add_parser("connect", help="print how to connect a client to the server")
    command.add_argument(
        "client",
        metavar="CLIENT",
        nargs="?",
        type=str.lower,
        help=f"{', '.join(CLIENTS)}; without it, they are listed",
    )
    command.add_argument("--url", help="the server's URL (default: MCP_PUBLIC_URL, else the address on this machine)")
    command.set_defaults(command=connect, reject=command.error)

    command = commands.add_parser("config", help="list every setting: name, type, default, current value, meaning")
    output = command.add_mutually_exclusive_group()
    output.add_argument("--env", action="store_true", help="as a .env file, defaults commented out")
    output.add_argument("--json", action="store_true", help="as JSON, for scripts")
    output.add_argument("--markdown", action="store_true", help="as the README's table")
    command.set_defaults(command=config)
    return top


def check_client_name(arguments: argparse.Namespace) -> None:
    """Exit unless the client of ``connect`` has a recipe. Called after parsing: a misspelt option is told first."""
    if arguments.client not in (None, *CLIENTS):
        known = ", ".join(CLIENTS)
        arguments.reject(f"{_ABOUT_THE_CLIENT} invalid choice: '{arguments.client}' (choose from {known})")


class _ModelAndInput(argparse.Action):
    """Parses ``MODEL JSON`` into a name and an object."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 - the base class's signature
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        model, text = values
        try:
            run_input = lenient_json.loads_message(text.encode("utf-8", "surrogateescape"))
        except ValueError:
            run_input = None
        if not isinstance(run_input, dict):
            raise argparse.ArgumentError(self, """JSON must be an object, such as '{"prompt": "a lighthouse"}'""")
        setattr(namespace, self.dest, (model, run_input))


def _port(text: str) -> int:
    port = int(text) if re.fullmatch(r"[0-9]{1,5}", text) else -1
    if not 0 <= port <= 65535:  # noqa: PLR2004 - the range of ports
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return port


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed <= 1000:  # noqa: PLR2004 - beyond it a run ends at once
        raise argparse.ArgumentTypeError("a speed is a number above 0, up to 1000")
    return speed
