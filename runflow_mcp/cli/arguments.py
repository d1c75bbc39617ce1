"""What can be typed: the commands, their arguments, and what is said about a wrong one. Pure."""

import argparse
import difflib
import re
from collections.abc import Callable
from typing import Any, NoReturn

from runflow_mcp import __version__, lenient_json
from runflow_mcp.cli.welcome import DEFAULT_URL

#: Fixed, so that links to the sandbox's media can be allowed in a firewall or a content security policy.
SANDBOX_PORT = 8090
KEY_VARIABLE = "RUNFLOW_API_KEY"

Command = Callable[[argparse.Namespace], int]


class _Parser(argparse.ArgumentParser):
    """Names the nearest right word where a command or an option is unknown."""

    def error(self, message: str) -> NoReturn:
        # Before Python 3.14 argparse has no suggestions of its own.
        unknown = re.search(r"invalid choice: '([^']*)'|unrecognized arguments: (\S+)", message)
        word = (unknown[1] or unknown[2] or "") if unknown else ""
        near = difflib.get_close_matches(word.partition("=")[0], sorted(self._words()), n=1)
        hint = f". Did you mean {near[0]}?" if near and "maybe you meant" not in message else ""
        super().error(f"{message}{hint}")

    def _words(self) -> set[str]:
        words: set[str] = set()
        for action in self._actions:
            words.update(action.option_strings)
            if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - it has no public name
                for name, parser in action.choices.items():
                    words |= {name, *(option for other in parser._actions for option in other.option_strings)}  # noqa: SLF001
        return words


def parser(*, serve: Command, sandbox: Command, check: Command, config: Command) -> argparse.ArgumentParser:
    """The parser; ``command`` of what it returns is the one that was typed."""
    top = _Parser(prog="runflow-mcp", description="An MCP server in front of Runflow.")
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    one = commands.add_parser("serve", help="the server, configured by the environment and .env")
    one.add_argument("--sandbox", action="store_true", help="against a simulated Runflow in this process")
    one.set_defaults(command=serve)

    one = commands.add_parser("sandbox", help="the simulated Runflow alone")
    one.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    one.add_argument("--port", type=_port, default=SANDBOX_PORT, help="port (default: %(default)s)")
    one.add_argument("--speed", type=_speed, default=1.0, help="how many times faster runs end (default: 1)")
    one.set_defaults(command=sandbox)

    one = commands.add_parser("check", help="smoke test of a running server; every failure with its fix")
    one.add_argument("url", metavar="URL", nargs="?", default=DEFAULT_URL, help="the server (default: %(default)s)")
    one.add_argument(
        "--key",
        help=f"your Runflow API key; better set {KEY_VARIABLE}, or leave both out and be asked: "
        "other users of this machine can see the arguments of a command",
    )
    one.add_argument(
        "--generate",
        nargs=2,
        action=_ModelAndInput,
        metavar=("MODEL", "JSON"),
        help="run this model with this input too (may cost money)",
    )
    one.set_defaults(command=check)

    one = commands.add_parser("config", help="every setting: name, type, default, current value, meaning")
    form = one.add_mutually_exclusive_group()
    form.add_argument("--env", action="store_true", help="as a .env file, defaults commented out")
    form.add_argument("--json", action="store_true", help="as JSON, for scripts")
    form.add_argument("--markdown", action="store_true", help="the table of the README")
    one.set_defaults(command=config)
    return top


class _ModelAndInput(argparse.Action):
    """``MODEL JSON`` as a name and an object."""

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
    if not 0 <= port <= 65535:  # noqa: PLR2004 - what a port is
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return port


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed <= 1000:  # noqa: PLR2004 - beyond it nothing is left to see
        raise argparse.ArgumentTypeError("a speed is a number above 0, up to 1000")
    return speed
