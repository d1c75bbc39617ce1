"""The messages between the parent and a worker: JSON lines over a socket pair. The worker's end is its stdin.

When the connection ends, the other process has ended too, for whatever reason.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from typing import Literal

import attrs
import orjson

#: From the parent, after the first message: drain, then stop; or stop at once.
StopCommand = Literal["drain", "stop"]
#: The file descriptor of a worker's end.
DESCRIPTOR = 0


class ParentGoneError(Exception):
    """The parent ended before it sent the first message."""


@attrs.frozen
class Start:
    """The parent's first message. ``environ``: its environment. ``metrics``: the descriptor of the metrics' memory."""

    environ: Mapping[str, str]
    metrics: int | None


@attrs.frozen
class Report:
    """From a worker. ``listening``: clients can connect. ``waits``: its waiting calls when its drain begins."""

    listening: bool = False
    waits: int | None = None


@attrs.define
class ParentLink:
    """A worker's end."""

    _socket: socket.socket
    _received: bytes = b""

    @classmethod
    def open(cls) -> "ParentLink":
        return cls(socket.socket(fileno=os.dup(DESCRIPTOR)))

    def start(self) -> Start:
        """The first message; blocks until it has arrived. Raises ``ParentGoneError``."""
        while b"\n" not in self._received:
            data = self._socket.recv(65536)
            if not data:
                raise ParentGoneError
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        return Start(**orjson.loads(line))

    def on_command(self, handle: Callable[[StopCommand], None]) -> None:
        """Call ``handle`` in the running event loop for each command. The end of the parent means ``drain``."""
        loop = asyncio.get_running_loop()
        self._socket.setblocking(False)  # noqa: FBT003 - its only form

        def read() -> None:
            try:
                data = self._socket.recv(4096)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                loop.remove_reader(self._socket.fileno())
                handle("drain")
                return
            take(data)

        def take(data: bytes) -> None:
            *lines, self._received = (self._received + data).split(b"\n")
            for line in lines:
                handle(orjson.loads(line))

        loop.add_reader(self._socket.fileno(), read)
        take(b"")  # a command may have come together with the first message

    def send(self, report: Report) -> None:
        """Send a report; nothing happens if the parent has ended."""
        try:
            self._socket.send(orjson.dumps(attrs.asdict(report)) + b"\n")
        except OSError:
            return


@attrs.define
class WorkerLink:
    """The parent's end."""

    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, own: socket.socket, start: Start) -> "WorkerLink":
        """Take over the socket, and send the first message."""
        link = cls(*await asyncio.open_connection(sock=own))
        link._send(attrs.asdict(start))
        return link

    def send(self, command: StopCommand) -> None:
        self._send(command)

    async def report(self) -> Report | None:
        """The worker's next report; None once it has ended."""
        try:
            line = await self._reader.readline()
        except OSError:
            return None
        return Report(**orjson.loads(line)) if line.endswith(b"\n") else None

    def close(self) -> None:
        self._writer.close()

    def _send(self, message: object) -> None:
        self._writer.write(orjson.dumps(message) + b"\n")
