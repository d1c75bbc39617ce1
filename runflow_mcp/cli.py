"""The commands: ``serve``, ``sandbox``, ``check`` and ``config``. Reads the environment, and nothing else does."""

import argparse
import asyncio
import html
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

import dotenv
import orjson
import structlog

from runflow_mcp import __version__
from runflow_mcp.clock import SystemClock
from runflow_mcp.config import Config, ConfigError, likely_typos
from runflow_mcp.observability import logs
from runflow_mcp.sandbox import RunningSandbox, Sandbox
from runflow_mcp.sandbox import start as start_sandbox
from runflow_mcp.server import serve

log = structlog.get_logger(__name__)

SANDBOX_KEY = "rf_live_sandbox"
SANDBOX_PORT = 8090
WRONG_SETTINGS = 2
#: As the README has it; the list has the package of every extra.
INSTALL_PACKAGES = "pip install --no-deps --only-binary=:all: --require-hashes -r deploy/requirements.txt"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0, 1 (it did not work) or 2 (it was asked wrongly)."""
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    if sys.platform == "win32" and command in (_serve, _sandbox):
        print("The server runs on Linux and macOS; on Windows run it under WSL. Nothing was started.", file=sys.stderr)
        return WRONG_SETTINGS
    return command(arguments)


def environment() -> dict[str, str]:
    """The process environment over the ``.env`` file of the working directory."""
    try:
        from_file = dotenv.dotenv_values(".env", interpolate=False)
    except (OSError, UnicodeDecodeError):
        print("The file .env of this directory cannot be read as UTF-8 text. Nothing was started.", file=sys.stderr)
        raise SystemExit(WRONG_SETTINGS) from None
    return {name: value for name, value in from_file.items() if value is not None} | dict(os.environ)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="runflow-mcp", description="An MCP server in front of Runflow.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    one = commands.add_parser("serve", help="the server, configured by the environment and .env")
    one.add_argument("--sandbox", action="store_true", help="against a simulated Runflow in this process")
    one.set_defaults(command=_serve)

    one = commands.add_parser("sandbox", help="the simulated Runflow alone")
    one.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    one.add_argument("--port", type=_port, default=SANDBOX_PORT, help="port (default: %(default)s)")
    one.add_argument("--speed", type=_speed, default=1.0, help="how many times faster runs end (default: 1)")
    one.set_defaults(command=_sandbox)

    one = commands.add_parser("check", help="smoke test of a running server; every failure with its fix")
    one.add_argument("url", metavar="URL", help="the server, such as http://127.0.0.1:8080/mcp")
    one.add_argument("--key", required=True, help="your Runflow API key")
    one.add_argument(
        "--generate",
        nargs=2,
        action=_ModelAndInput,
        metavar=("MODEL", "JSON"),
        help="run this model with this input too (may cost money)",
    )
    one.set_defaults(command=_check)

    one = commands.add_parser("config", help="every setting: name, type, default, current value, meaning")
    one.add_argument("--markdown", action="store_true", help="the table of the README")
    one.set_defaults(command=_config)
    return parser


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
            run_input = orjson.loads(text)
        except orjson.JSONDecodeError:
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


def load_config(environ: Mapping[str, str]) -> Config | None:
    """The settings; None, after one message that lists every fault, when they cannot be used."""
    try:
        config = Config.from_mapping(environ)
        if config.rate_limit_store != "memory://" and find_spec("redis") is None:
            raise ConfigError([f"MCP_RATE_LIMIT_STORE: expected the package redis; install it: {INSTALL_PACKAGES}"])
    except ConfigError as wrong:
        print("These settings are wrong:", *(f"  {fault}" for fault in wrong.faults), sep="\n", file=sys.stderr)
        print("Nothing was started. `runflow-mcp config` explains every setting.", file=sys.stderr)
        return None
    return config


def _run(main_coroutine: Coroutine[Any, Any, None]) -> None:
    import uvloop  # noqa: PLC0415 - not on Windows, and the short commands need none

    uvloop.run(main_coroutine)


def _serve(arguments: argparse.Namespace) -> int:
    environ = environment()
    config = load_config(environ)
    if config is None:
        return WRONG_SETTINGS
    logs.configure(config)
    for name, meant in likely_typos(environ):
        log.warning("unknown_setting", name=name, did_you_mean=meant)
    if "*" in config.allowed_hosts:
        log.warning(
            "any_host_allowed",
            why="a web page can point its own host name here (DNS rebinding) and use this server from a browser",
            fix="name the hosts in MCP_ALLOWED_HOSTS",
        )
    try:
        _run(_serve_sandboxed(environ) if arguments.sandbox else serve(config))
    except OSError as fault:
        where = f"{config.host}:{config.port}"
        print(f"Cannot listen on {where}: {_why(fault)}. Change MCP_HOST or MCP_PORT.", file=sys.stderr)
        return 1
    return 0


def _why(fault: OSError) -> str:
    """The system's own words; asyncio wraps them in a sentence that repeats the address."""
    return os.strerror(fault.errno) if fault.errno and fault.errno > 0 else str(fault.strerror or fault)


async def _serve_sandboxed(environ: Mapping[str, str]) -> None:
    sandbox = await start_sandbox(Sandbox(clock=SystemClock()))
    try:
        config = Config.from_mapping({**environ, **_sandbox_urls(sandbox)})
        await serve(config, announce=_welcome(config))
    finally:
        await sandbox.close()


def _sandbox_urls(sandbox: RunningSandbox) -> dict[str, str]:
    return {
        "RUNFLOW_API_URL": sandbox.url,
        "RUNFLOW_CATALOG_URL": f"{sandbox.url}/models-catalog.json",
        "RUNFLOW_SKILL_URL": f"{sandbox.url}/.well-known/agent-skills/runflow/SKILL.md",
    }


def _welcome(config: Config) -> str:
    host = "127.0.0.1" if config.host in ("0.0.0.0", "::", "") else config.host  # noqa: S104 - compared, not bound
    host = f"[{host}]" if ":" in host else host
    url = f"http://{host}:{config.port}/mcp"
    call = (
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"generate","arguments":'
        '{"model":"google/nano-banana-2","input":{"prompt":"a lighthouse at dusk"}},"_meta":{"progressToken":1}}}'
    )
    return f"""
Runflow MCP server, against the embedded sandbox (a simulated Runflow: no account, nothing is billed)

  URL          {url}
  sandbox key  {SANDBOX_KEY}

A first picture, with live progress:

  curl -N {url} \\
    -H 'Authorization: Bearer {SANDBOX_KEY}' \\
    -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \\
    -d {shlex.quote(call)}

Claude Code:

  claude mcp add --transport http runflow {url} --header 'Authorization: Bearer {SANDBOX_KEY}'
"""


def _sandbox(arguments: argparse.Namespace) -> int:
    async def run() -> None:
        sandbox = Sandbox(clock=SystemClock(), speed=arguments.speed)
        running = await start_sandbox(sandbox, host=arguments.host, port=arguments.port)
        print(f"The simulated Runflow answers at {running.url} for the key {SANDBOX_KEY}.")
        print("Settings for the server:")
        for name, value in _sandbox_urls(running).items():
            print(f"  {name}={value}", flush=True)
        await _stopped()
        await running.close()

    try:
        _run(run())
    except OSError as fault:
        where = f"{arguments.host}:{arguments.port}"
        print(f"Cannot listen on {where}: {_why(fault)}. Change --host or --port.", file=sys.stderr)
        return 1
    return 0


async def _stopped() -> None:
    """Wait for SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    await stop.wait()


def _check(arguments: argparse.Namespace) -> int:
    from runflow_mcp.check import check  # noqa: PLC0415 - the other commands need none of it

    try:
        return asyncio.run(check(arguments.url, arguments.key, arguments.generate, partial(print, flush=True)))
    except KeyboardInterrupt:
        return 1


def _config(arguments: argparse.Namespace) -> int:
    if arguments.markdown:
        print(settings_markdown())
        return 0
    config = load_config(environment())
    if config is None:
        return WRONG_SETTINGS
    for name, kind, default, value, help_ in config.table():
        print(f"{name} ({kind})\n    {help_}\n    default: {default or '(empty)'}\n    now:     {value or '(empty)'}")
    return 0


def settings_markdown() -> str:
    """The README's table of settings."""
    lines = ["| name | type | default | meaning |", "|---|---|---|---|"]
    for name, kind, default, _, help_ in Config().table():
        # A <placeholder> would vanish as an unknown tag.
        shown = html.escape(help_, quote=False)
        lines.append(f"| `{name}` | {kind} | {f'`{default}`' if default else 'empty'} | {shown} |")
    return "\n".join(lines)
