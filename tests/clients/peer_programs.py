"""Clients that do not fit into the environment of the tests: installed once beside it, and run as processes.

They are installed under ``.venv/peers``, and used again as long as their pins are the ones in ``peers``. Like the
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

from tests.required_programs import require

PINS = Path(__file__).parent / "peers"
INSTALLED = Path(__file__).parents[2] / ".venv" / "peers"
NODE_SCRIPT = "typescript.mjs"
INSTALL_SECONDS = 300
#: What makes pip take a list as it is: it resolves nothing and builds nothing.
PINNED = ("--no-deps", "--only-binary=:all:", "--require-hashes")
#: What a client does here takes one or two.
STEP_SECONDS = 30


def node_peers() -> Path:
    """The folder of the npm clients and the script that uses them."""
    return node_packages("node", PINS, NODE_SCRIPT)


def node_packages(name: str, pins: Path, *scripts: str) -> Path:
    """The folder of the npm packages of ``pins``, with copies of the scripts that use them.

    A script finds packages from its own folder alone.
    """
    require("node")
    npm = require("npm")
    flags = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
    command = (npm, "ci", *flags, "--prefix")
    place = _installed(name, ("package.json", "package-lock.json"), lambda folder: [*command, str(folder)], pins)
    with _installing_alone():
        for script in scripts:
            if not _same(pins / script, place / script):
                shutil.copy(pins / script, place / "new")
                (place / "new").rename(place / script)
    return place


def python_peer(name: str, pins: Path = PINS) -> Path:
    """A folder to put on Python's path, with the packages that ``<name>.txt`` in ``pins`` lists."""
    command = (sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-compile", *PINNED)
    file = f"{name}.txt"
    return _installed(name, (file,), lambda folder: [*command, "--target", str(folder), "-r", str(folder / file)], pins)


def _installed(name: str, files: tuple[str, ...], command: Callable[[Path], list[str]], pins: Path = PINS) -> Path:
    """The folder into which ``command`` has installed what these files of ``pins`` list, with copies of them."""
    place = INSTALLED / name
    with _installing_alone():
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
def _installing_alone() -> Iterator[None]:
    """Test processes side by side install one after the other, and all but the first find it done."""
    INSTALLED.mkdir(parents=True, exist_ok=True)
    with (INSTALLED / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _same(pins: Path, installed: Path) -> bool:
    return installed.is_file() and installed.read_bytes() == pins.read_bytes()


def _install(name: str, command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)  # noqa: S603
    except (OSError, subprocess.SubprocessError) as error:
        output = (getattr(error, "stderr", None) or str(error)).strip()
        reason = f"the clients of {name} cannot be installed: {output.splitlines()[-1] if output else error}"
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(f"{reason}, and REQUIRE_SERVICES=1 forbids to do without", pytrace=False)
        pytest.skip(reason)


@attrs.frozen
class Conversation:
    """A process that reads and writes one JSON text a line."""

    process: asyncio.subprocess.Process

    async def send(self, message: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(orjson.dumps(message) + b"\n")
        await self.process.stdin.drain()

    async def receive(self) -> Any:
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), STEP_SECONDS)
        assert line, "the client has ended without printing anything more"
        return orjson.loads(line)


@asynccontextmanager
async def conversation(*command: str, home: Path, **environ: str) -> AsyncIterator[Conversation]:
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
        yield Conversation(process)
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 5)
        except TimeoutError:
            process.kill()
            await process.wait()
