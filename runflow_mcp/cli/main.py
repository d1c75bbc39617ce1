"""The commands: ``serve``, ``sandbox``, ``check`` and ``config``. Reads the environment, and nothing else does."""

import argparse
import asyncio
import errno
import getpass
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs
import dotenv
import structlog

from runflow_mcp import open_files
from runflow_mcp.cli import config_report, terminal
from runflow_mcp.cli.arguments import KEY_VARIABLE, SANDBOX_PORT, parser
from runflow_mcp.cli.welcome import SANDBOX_KEY, welcome
from runflow_mcp.clock import SystemClock
from runflow_mcp.observability import logs
from runflow_mcp.observability.sink import Sink
from runflow_mcp.sandbox import RunningSandbox, Sandbox
from runflow_mcp.sandbox import start as start_sandbox
from runflow_mcp.serve import ListenError, serve
from runflow_mcp.settings.config import Config, ConfigError, Row, likely_typos, survey
from runflow_mcp.settings.warnings import SettingWarning, setting_warnings

log = structlog.get_logger(__name__)

#: How many ports from there on are tried for a second sandbox on the same machine.
SANDBOX_PORTS = 20
WRONG_SETTINGS = 2
#: Serves with a config and a welcome.
Start = Callable[[Config, str], Awaitable[None]]
#: As the README has it; the list has the package of every extra.
INSTALL_PACKAGES = "pip install --no-deps --only-binary=:all: --require-hashes -r deploy/requirements.txt"
_NEEDS_REDIS = f"expected the package redis; install it: {INSTALL_PACKAGES}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0, 1 (it did not work) or 2 (it was asked wrongly)."""
    terminal.open_standard_streams()
    arguments = parser(serve=_serve, sandbox=_sandbox, check=_check, config=_config).parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    if sys.platform == "win32" and command in (_serve, _sandbox):
        terminal.complain("The server runs on Linux and macOS; on Windows run it under WSL. Nothing was started.")
        return WRONG_SETTINGS
    try:
        return command(arguments)
    except terminal.OutputError as error:
        if not isinstance(error.__cause__, BrokenPipeError):  # `runflow-mcp config | head` is no error
            terminal.complain(str(error))
        return 1


def environment() -> dict[str, str]:
    """The process environment over the ``.env`` file of the working directory."""
    try:
        from_file = dotenv.dotenv_values(".env", interpolate=False)
    except (OSError, UnicodeDecodeError):
        terminal.complain("The file .env of this directory cannot be read as UTF-8 text. Nothing was started.")
        raise SystemExit(WRONG_SETTINGS) from None
    # Proxy settings are spelt in two cases; the other case of one that is set must not come back from the file.
    proxies = {name.lower() for name in os.environ if name.lower().endswith("_proxy")}
    return {
        name: value for name, value in from_file.items() if value is not None and name.lower() not in proxies
    } | dict(os.environ)


def load_config(environ: Mapping[str, str]) -> Config | None:
    """The settings; None, after one message that lists every fault, when they cannot be used."""
    try:
        config = Config.from_mapping(environ)
        if _lacks_redis(config.rate_limit_store):
            raise ConfigError([f"MCP_RATE_LIMIT_STORE: {_NEEDS_REDIS}"])
    except ConfigError as wrong:
        terminal.complain(
            "These settings are wrong:",
            *(f"  {error}" for error in wrong.faults),
            "Nothing was started. `runflow-mcp config` explains every setting.",
        )
        return None
    return config


def _lacks_redis(store: str) -> bool:
    return store != "memory://" and find_spec("redis") is None


def _run(main_coroutine: Coroutine[Any, Any, None]) -> None:
    import uvloop  # noqa: PLC0415 - not on Windows, and the short commands need none

    uvloop.run(main_coroutine)


def _serve(arguments: argparse.Namespace) -> int:
    if arguments.sandbox and not _can_draw():
        return WRONG_SETTINGS
    environ = environment()
    config = load_config(environ)
    if config is None:
        return WRONG_SETTINGS
    allowed = open_files.raise_limit()
    with _logging(config, environ) as sink:
        for name, meant in likely_typos(environ):
            log.warning("unknown_setting", name=name, did_you_mean=meant)
        needed = open_files.needed(config.max_waits)
        for one in setting_warnings(config, open_files=allowed, files_needed=needed):
            log.warning("questionable_setting", **attrs.asdict(one))
        try:
            start = partial(_serve_telling, sink, allowed)
            _run(_serve_sandboxed(environ, config.port, start) if arguments.sandbox else _serve_live(config, start))
        except ListenError as error:
            terminal.complain(_cannot_listen(error.reason, config))
            return 1
    return 0


def _logging(config: Config, environ: Mapping[str, str]) -> AbstractContextManager[Sink]:
    return logs.configured(
        config,
        terminal.descriptor(sys.stderr),
        terminal=sys.stderr.isatty(),
        colors=terminal.wants_colors(sys.stderr, environ),
    )


def _cannot_listen(error: OSError, config: Config) -> str:
    """One line: what is wrong, and what to do."""
    host = f"[{config.host}]" if ":" in config.host else config.host
    port = config.port
    if error.errno == errno.EADDRINUSE:
        other = 9000 if port != 9000 else 9001  # noqa: PLR2004 - one that the message can propose
        fix = f"Stop the program that has this port, or take another: MCP_PORT={other} (make run PORT={other})."
    elif error.errno in (errno.EACCES, errno.EPERM):
        fix = "Ports below 1024 need a right that this user lacks: set MCP_PORT to another (make run PORT=8080)."
    else:
        fix = "Set MCP_HOST to an address of this machine, such as 127.0.0.1."
    return f"Cannot listen on {host}:{port}: {_why(error)}. {fix}"


def _why(error: OSError) -> str:
    """The system's own words; asyncio wraps them in a sentence that repeats the address."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror or error)


def _can_draw() -> bool:
    """Whether Pillow is installed; one message where it is not."""
    if find_spec("PIL") is not None:
        return True
    terminal.complain(
        f"The sandbox (extra sandbox) draws with Pillow, which is missing. Install it: {INSTALL_PACKAGES}"
    )
    return False


async def start_embedded_sandbox(server_port: int) -> RunningSandbox:
    """Start the sandbox on its fixed port, or on the next one that is free and is not the server's."""
    for port in range(SANDBOX_PORT, SANDBOX_PORT + SANDBOX_PORTS):
        if port == server_port:
            continue
        with suppress(OSError):
            running = await start_sandbox(Sandbox(clock=SystemClock()), port=port)
            break
    else:
        running = await start_sandbox(Sandbox(clock=SystemClock()))
    if not running.url.endswith(f":{SANDBOX_PORT}"):
        log.warning("sandbox_port_in_use", port=SANDBOX_PORT, sandbox=running.url)
    return running


async def _serve_live(config: Config, start: Start) -> None:
    # Who asks for a log in JSON has a program read the output.
    for_people = config.log_format != "json" or sys.stdout.isatty()
    await start(config, welcome(config, _program(), sandbox=False) if for_people else "")


async def _serve_sandboxed(environ: Mapping[str, str], port: int, start: Start) -> None:
    sandbox = await start_embedded_sandbox(port)
    try:
        config = Config.from_mapping({**environ, **_sandbox_urls(sandbox)})
        await start(config, welcome(config, _program(), sandbox=True))
    finally:
        await sandbox.close()


async def _serve_telling(sink: Sink, allowed_files: int, config: Config, text: str) -> None:
    # A sink for this stream too: what is printed must not stop a server whose reader stands still.
    output = Sink(terminal.descriptor(sys.stdout))

    def tell(line: str) -> None:
        output.write(f"{line}\n".encode())

    try:
        interactive = sys.stdout.isatty()
        await serve(config, sink=sink, open_files=allowed_files, welcome=text, tell=tell, interactive=interactive)
    finally:
        output.close(logs.FLUSH_TIMEOUT)


def _program() -> list[str]:
    """How to call this program from the working directory."""
    python = Path(sys.executable)
    script = python.with_name("runflow-mcp")
    command = [script] if script.exists() else [python, Path("-m"), Path("runflow_mcp")]
    here = Path.cwd()
    return [str(one.relative_to(here)) if one.is_relative_to(here) else str(one) for one in command]


def _sandbox_urls(sandbox: RunningSandbox) -> dict[str, str]:
    return {
        "RUNFLOW_API_URL": sandbox.url,
        "RUNFLOW_CATALOG_URL": f"{sandbox.url}/models-catalog.json",
        "RUNFLOW_SKILL_URL": f"{sandbox.url}/.well-known/agent-skills/runflow/SKILL.md",
    }


def _sandbox(arguments: argparse.Namespace) -> int:
    if not _can_draw():
        return WRONG_SETTINGS

    async def run() -> None:
        sandbox = Sandbox(clock=SystemClock(), speed=arguments.speed)
        running = await start_sandbox(sandbox, host=arguments.host, port=arguments.port)
        terminal.say(f"The simulated Runflow answers at {running.url} for the key {SANDBOX_KEY}.")
        terminal.say("Settings for the server:")
        for name, value in _sandbox_urls(running).items():
            terminal.say(f"  {name}={value}")
        await _stopped()
        await running.close()

    try:
        _run(run())
    except OSError as error:
        where = f"{arguments.host}:{arguments.port}"
        terminal.complain(f"Cannot listen on {where}: {_why(error)}. Change --host or --port.")
        return 1
    return 0


async def _stopped() -> None:
    """Wait for SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    await stop.wait()


def _check(arguments: argparse.Namespace) -> int:
    from runflow_mcp.cli.check import check  # noqa: PLC0415 - the other commands need none of it

    environ = environment()
    try:
        key = arguments.key if arguments.key is not None else environ.get(KEY_VARIABLE, "").strip() or _asked_key()
        run = check(arguments.url, key, arguments.generate, terminal.say, ca_file=environ.get("SSL_CERT_FILE"))
        return asyncio.run(run)
    except (KeyboardInterrupt, EOFError):
        return 1


def _asked_key() -> str:
    if not sys.stdin.isatty():
        terminal.complain(f"There is no API key. Set {KEY_VARIABLE}, or run this in a terminal and be asked for it.")
        raise SystemExit(WRONG_SETTINGS)
    return getpass.getpass("Runflow API key (not shown): ").strip()


def _config(arguments: argparse.Namespace) -> int:
    if arguments.markdown:
        terminal.say(config_report.as_markdown())
        return 0
    environ = environment()
    rows = [_with_package(row) for row in survey(environ)]
    wrong = [row.name for row in rows if row.error is not None]
    if arguments.json:
        terminal.say(config_report.as_json(rows))
    elif arguments.env:
        terminal.say(config_report.as_env(rows, environ))
    else:
        terminal.say(config_report.as_text(rows, _warnings(environ) if not wrong else []))
    if wrong:
        terminal.complain(f"Wrong: {', '.join(wrong)}. The server does not start with these settings.")
    return WRONG_SETTINGS if wrong else 0


def _with_package(row: Row) -> Row:
    lacks = row.name == "MCP_RATE_LIMIT_STORE" and row.error is None and _lacks_redis(row.value)
    return attrs.evolve(row, error=_NEEDS_REDIS) if lacks else row


def _warnings(environ: Mapping[str, str]) -> list[SettingWarning]:
    return setting_warnings(Config.from_mapping(environ))
