"""The standard streams of a command, which may be closed, on a full disk, or a pipe without a reader."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


def open_standard_streams() -> None:
    """Open the null device for each standard stream that is closed at the start.

    Otherwise the next file or connection would get its descriptor, and printed text would be written there.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is not None:
            continue
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free descriptor, which is this one
        setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - the process's own


def descriptor(stream: TextIO) -> int | None:
    """The stream's file descriptor; None when it is the null device."""
    return stream.fileno() if stream.name != os.devnull else None


class OutputError(Exception):
    """The output of a command could not be written."""


@contextmanager
def writing(stream: TextIO) -> Iterator[None]:
    """Write to a stream within the context. Raises ``OutputError``."""
    try:
        yield
    except (OSError, ValueError) as error:
        _discard(stream)
        raise OutputError(f"The output could not be written: {error}.") from error


def print_line(text: str) -> None:
    """Print to the standard output and flush. Raises ``OutputError``."""
    with writing(sys.stdout):
        print(text, flush=True)


def print_error(*lines: str) -> None:
    """Print to the standard error. A failure to write is ignored: it must not change the exit code."""
    try:
        print(*lines, sep="\n", file=sys.stderr, flush=True)
    except (OSError, ValueError):
        _discard(sys.stderr)


def _discard(stream: TextIO) -> None:
    """Redirect the stream's buffer to the null device, so that the interpreter's flush at exit succeeds."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def wants_colors(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether the stream is a terminal with colours, and ``NO_COLOR`` is not set (https://no-color.org)."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
