"""Clients that no Python environment of ours can hold: installed once beside it, and run as processes.

They live under ``.venv/peers``; what is there is used again as long as its pins are the ones in ``peers``.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import attrs
import orjson
import pytest

from tests.services import require

PINS = Path(__file__).parent / "peers"
INSTALLED = Path(__file__).parents[2] / ".venv" / "peers"
INSTALL_SECONDS = 300
#: What a client does here takes one or two.
STEP_SECONDS = 30


def node_peers() -> Path:
    """The folder of the npm packages; their scripts must lie in it to find them."""
    require("node")
    npm = require("npm")
    flags = ("--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
    return _installed("node", "package.json", lambda folder: [npm, "install", "--prefix", str(folder), *flags])


def python_peer(name: str) -> Path:
    """A folder to put on Python's path, with the packages that ``peers/<name>.txt`` pins."""
    pip = (sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps")
    pins = f"{name}.txt"
    return _installed(name, pins, lambda folder: [*pip, "--target", str(folder), "-r", str(folder / pins)])


def _installed(name: str, pins: str, command: Callable[[Path], list[str]]) -> Path:
    wanted, place = PINS / pins, INSTALLED / name
    if _is_current(place / pins, wanted):
        return place
    INSTALLED.mkdir(parents=True, exist_ok=True)
    # Two test runs may install at the same time: each into a folder of its own, and one of them is kept.
    with _scratch() as scratch:
        shutil.copy(wanted, scratch)
        _install(name, command(scratch))
        shutil.rmtree(place, ignore_errors=True)
        try:
            scratch.rename(place)
        except OSError:
            if not _is_current(place / pins, wanted):
                raise
    return place


def _is_current(held: Path, wanted: Path) -> bool:
    return held.is_file() and held.read_bytes() == wanted.read_bytes()


@contextmanager
def _scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(dir=INSTALLED))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _install(name: str, command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)  # noqa: S603
    except (OSError, subprocess.SubprocessError) as fault:
        said = (getattr(fault, "stderr", None) or str(fault)).strip()
        reason = f"the clients of {name} cannot be installed: {said.splitlines()[-1] if said else fault}"
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(f"{reason}, and REQUIRE_SERVICES=1 forbids to do without", pytrace=False)
        pytest.skip(reason)


@attrs.frozen
class Talk:
    """A process that speaks one JSON text a line."""

    process: asyncio.subprocess.Process

    async def say(self, message: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(orjson.dumps(message) + b"\n")
        await self.process.stdin.drain()

    async def hear(self) -> Any:
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), STEP_SECONDS)
        assert line, "the client has ended without another word"
        return orjson.loads(line)


@asynccontextmanager
async def talking(*command: str, home: Path, **environ: str) -> AsyncIterator[Talk]:
    """Run a client with an environment of its own; it is ended with the context, if it has not by itself."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # An unread pipe would hold the client up; with the test's own output it is shown when the test fails.
        stderr=None,
        env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), **environ},
        limit=1 << 20,
    )
    try:
        yield Talk(process)
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 5)
        except TimeoutError:
            process.kill()
            await process.wait()
