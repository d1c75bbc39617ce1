"""The program of the TypeScript SDKs as one process for a run of tests: Node.js and an SDK take longer than a step."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import attrs
import orjson

from tests.clients.peer_programs import NODE_SCRIPT, STEP_SECONDS, node_peers
from tests.required_programs import require


@attrs.frozen
class Step:
    """One that is under way in the program."""

    process: "subprocess.Popen[bytes]"

    async def send(self, message: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(orjson.dumps(message) + b"\n")
        self.process.stdin.flush()

    async def receive(self) -> Any:
        """What it prints next."""
        assert self.process.stdout is not None
        line = await asyncio.wait_for(asyncio.to_thread(self.process.stdout.readline), STEP_SECONDS)
        assert line, "the client has ended without printing anything more"
        return orjson.loads(line)


@attrs.define
class TypeScriptHost:
    """Does one step after the other; started when it is first needed, and again after a step that failed."""

    folder: Path
    home: Path
    _process: "subprocess.Popen[bytes] | None" = None

    @asynccontextmanager
    async def step(self, name: str, *, sdk: str, era: str, url: str, key: str) -> AsyncIterator[Step]:
        """``sdk`` and ``era`` as in ``typescript.mjs``. All that it prints must be received in the context."""
        step = Step(self._running())
        try:
            await step.send({"step": name, "sdk": sdk, "era": era, "url": url, "key": key})
            yield step
            assert await step.receive() == "done", "the step has printed more"
        except BaseException:
            self.end()
            raise

    async def seen(self, name: str, **options: str) -> Any:
        """The one message that a step prints."""
        async with self.step(name, **options) as step:
            return await step.receive()

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(  # noqa: S603 - the program beside this module
                [require("node"), str(self.folder / NODE_SCRIPT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.home)},
            )
        return self._process


@contextmanager
def typescript_host(home: Path) -> Iterator[TypeScriptHost]:
    host = TypeScriptHost(node_peers(), home)
    try:
        yield host
    finally:
        host.end()
