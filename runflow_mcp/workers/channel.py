"""What the parent and a worker tell each other: JSON lines over a socket pair, the worker's end being its stdin.

The end of the connection tells each that the other process is gone, however it ended.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from typing import Any, Literal

import attrs
import orjson

#: From the parent, after the first message: drain, then stop; or stop at once.
Order = Literal["drain", "stop"]
#: The file descriptor of a worker's end.
DESCRIPTOR = 0


class ParentGoneError(Exception):
    """The parent ended before it had said how to start."""


@attrs.frozen
class Start:
    """The parent's first message. ``environ``: its environment. ``metrics``: the descriptor of the metrics' memory."""

    environ: Mapping[str, str]
    metrics: int | None


@attrs.frozen
class Report:
    """From a worker. ``listening``: clients can connect. ``waits``: so many calls wait while it drains."""

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
        """How to start; blocks until it is there. Raises ``ParentGoneError``."""
        while b"\n" not in self._received:
            data = self._socket.recv(65536)
            if not data:
                raise ParentGoneError
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        return Start(**orjson.loads(line))

    def obey(self, on_order: Callable[[Order], None]) -> None:
        """Call ``on_order`` in the running event loop. A parent that is gone is the order to drain."""
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
                on_order("drain")
                return
            take(data)

        def take(data: bytes) -> None:
            *lines, self._received = (self._received + data).split(b"\n")
            for line in lines:
                on_order(orjson.loads(line))

        loop.add_reader(self._socket.fileno(), read)
        take(b"")  # an order may have come right behind the first message

    def tell(self, report: Report) -> None:
        """Report to the parent, which may be gone."""
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

    def order(self, order: Order) -> None:
        self._send(order)

    async def report(self) -> Report | None:
        """The worker's next report; None once it has ended."""
        try:
            line = await self._reader.readline()
        except OSError:
            return None
        return Report(**orjson.loads(line)) if line.endswith(b"\n") else None

    def close(self) -> None:
        self._writer.close()

    def _send(self, message: Any) -> None:
        self._writer.write(orjson.dumps(message) + b"\n")
