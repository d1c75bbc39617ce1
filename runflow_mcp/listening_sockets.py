"""Binding the listening sockets, alone or shared between processes, and closing them without losing a connection."""

import array
import errno
import select
import socket
import struct
import sys
from collections.abc import Iterable, Sequence

#: Linux's number of the option; Python has no name for it.
_SO_ATTACH_FILTER = 26
#: A classic BPF program over the TCP header: drop a SYN without ACK (an attempt to connect), accept anything else.
_DROP_ATTEMPTS = (
    (0x30, 0, 0, 13),  # load the byte of flags
    (0x54, 0, 0, 0x12),  # keep SYN and ACK
    (0x15, 0, 1, 0x02),  # SYN alone?
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFFFFFF),  # accept
)
#: A host name may have addresses that this machine lacks, such as ``localhost`` and ``::1`` without IPv6.
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


class ListenError(Exception):
    """The address is not available; ``reason`` is the system's error."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(str(reason))
        self.reason = reason


def bind(host: str, port: int, *, shared: bool = False) -> list[socket.socket]:
    """A socket for every address of the host, not listening yet; ``::`` includes IPv4, whatever the system's default.

    ``shared``: other processes of this user may bind the port too, and each then gets a part of the connections
    (SO_REUSEPORT). Raises ``ListenError``.
    """
    bound: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, address in _addresses(host, port):
            try:
                bound.append(_bind(family, address, dual=host == "::", shared=shared))
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
                missing = error
        if missing is not None and not bound:
            raise missing
    except OSError as error:
        close(bound)
        raise ListenError(error) from error
    return bound


def listen(sockets: Sequence[socket.socket], backlog: int) -> None:
    """Let clients connect to bound sockets. Raises ``ListenError``, and closes them then.

    Two programs that start at the same moment can both bind a port, and the second one to listen fails. uvloop, which
    listens again, would hide that.
    """
    try:
        for sock in sockets:
            sock.listen(backlog)
    except OSError as error:
        close(sockets)
        raise ListenError(error) from error


def reserve(host: str, port: int) -> list[socket.socket]:
    """Bind a port for processes that will share it, after a check that no other program has it.

    The sockets never listen. While they are open, another program can bind the port only if it shares ports too and
    runs under the same user, even when no worker listens. Raises ``ListenError``.
    """
    # Without SO_REUSEPORT: a port that another server shares would be bound without an error.
    close(bind(host, port))
    return bind(host, port, shared=True)


def close(sockets: Iterable[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


def refuse_new(listener: socket.socket) -> None:
    """Drop new attempts to connect; attempts under way still succeed.

    When a listener closes, the kernel resets the connections in its queue, and a new one can join the queue at the
    last moment. A dropped attempt is repeated by the client's kernel a second later; by then another listener of the
    port accepts it, or it is refused. Only Linux offers this.
    """
    if sys.platform != "linux":
        return
    program = array.array("B", b"".join(struct.pack("=HBBI", *step) for step in _DROP_ATTEMPTS))
    pointer, _size = program.buffer_info()
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(_DROP_ATTEMPTS), pointer))
    except OSError:  # not allowed here: a connection that comes at the wrong microsecond is reset
        return


def readable(descriptors: Iterable[int]) -> set[int]:
    """Those of these sockets that are readable: bytes, the end of a connection, or a new connection has arrived."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _event in poll.poll(0)}


def _addresses(host: str, port: int) -> Sequence[tuple[int, tuple[object, ...]]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # The same address can be listed twice.
    return list(dict.fromkeys((family, address) for family, _type, _protocol, _name, address in found))


def _bind(family: int, address: tuple[object, ...], *, dual: bool, shared: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Connections of an earlier server that are still closing do not keep the port.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not (dual and socket.has_dualstack_ipv6()))
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock
