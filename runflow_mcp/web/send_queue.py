"""The bytes written to a connection that its peer has not acknowledged yet."""

import asyncio
import socket
import sys

try:
    import fcntl
    import termios
except ImportError:  # Windows has neither
    fcntl = None  # type: ignore[assignment]

#: macOS's socket option for the bytes in the kernel's send queue (<sys/socket.h>), which Python does not name.
_SO_NWRITE = 0x1024


def unacknowledged_bytes(transport: asyncio.Transport) -> int:
    """Bytes in the buffers of the transport and of the kernel.

    The transport's buffer alone changes in steps of megabytes: the kernel takes more from it only once a third of its
    own buffer is free.
    """
    return transport.get_write_buffer_size() + _kernel_queue(transport.get_extra_info("socket"))


def _kernel_queue(sock: socket.socket | None) -> int:
    """Bytes that the kernel has taken and the peer has not acknowledged; 0 where the system does not say."""
    if sock is None or sock.fileno() < 0:  # closed
        return 0
    try:
        if sys.platform == "darwin":
            return sock.getsockopt(socket.SOL_SOCKET, _SO_NWRITE)
        if fcntl is None:
            return 0
        queued = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))  # SIOCOUTQ of tcp(7)
    except OSError:
        return 0
    return int.from_bytes(queued, sys.byteorder)
