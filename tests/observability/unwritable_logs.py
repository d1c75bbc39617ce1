"""Descriptors that a log cannot be written to, for servers that are processes of their own.

The caller closes every descriptor.
"""

import fcntl
import os

#: Bytes that a pipe takes before its writer blocks: the least that the system allows.
PIPE_BYTES = 4096


def full() -> int:
    """A file on a full disk."""
    return os.open("/dev/full", os.O_WRONLY)


def without_reader() -> int:
    """A pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def with_reader_that_stands_still() -> tuple[int, int]:
    """A pipe that nobody reads: its reading end, which must stay open, and its writing end."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return reader, writer
