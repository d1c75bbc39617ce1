"""Clients that no Python environment of ours can hold: installed once beside it, and run as processes.

They live under ``.venv/peers``; what is there is used again as long as its pins are the ones in ``peers``. Like the
packages of the tests themselves they are complete lists with hashes, installed without resolving anything.
"""

import asyncio
import fcntl
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
#: What makes pip take a list as it is: it resolves nothing and builds nothing.
PINNED = ("--no-deps", "--only-binary=:all:", "--require-hashes")
#: What a client does here takes one or two.
STEP_SECONDS = 30


def node_peers() -> Path:
    """The folder of the npm packages, with the script that uses them: it finds them from there alone."""
    require("node")
    npm = require("npm")
    flags = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
    command = (npm, "ci", *flags, "--prefix")
    files = ("package.json", "package-lock.json", "typescript.mjs")
    return _installed("node", files, lambda folder: [*command, str(folder)])


def python_peer(name: str, pins: Path = PINS) -> Path:
    """A folder to put on Python's path, with the packages that ``<name>.txt`` in ``pins`` lists."""
    command = (sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-compile", *PINNED)
    file = f"{name}.txt"
    return _installed(name, (file,), lambda folder: [*command, "--target", str(folder), "-r", str(folder / file)], pins)


def _installed(name: str, files: tuple[str, ...], command: Callable[[Path], list[str]], pins: Path = PINS) -> Path:
    """Where ``command`` has installed what these files of ``pins`` say; they lie there, too."""
    place = INSTALLED / name
    with _alone():
        if not all(_same(pins / file, place / file) for file in files):
            scratch = Path(tempfile.mkdtemp(dir=INSTALLED))
            try:
                for file in files:
                    shutil.copy(pins / file, scratch)
                _install(name, command(scratch))
                shutil.rmtree(place, ignore_errors=True)
                scratch.rename(place)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    return place


@contextmanager
def _alone() -> Iterator[None]:
    """Test processes side by side install one after the other, and all but the first find it done."""
    INSTALLED.mkdir(parents=True, exist_ok=True)
    with (INSTALLED / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _same(wanted: Path, held: Path) -> bool:
    return held.is_file() and held.read_bytes() == wanted.read_bytes()


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
