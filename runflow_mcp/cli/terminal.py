"""The standard streams of a command, whatever state they are in: closed, on a full disk, a pipe that nobody reads."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO


def open_standard_streams() -> None:
    """Give each stream that is closed at the start the null device.

    Else the next file or connection that is opened gets its number, and what is printed goes there.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is not None:
            continue
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one, in this order
        setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - the process's own


def descriptor(stream: TextIO) -> int | None:
    """The number of the stream's file; None where it goes nowhere."""
    return stream.fileno() if stream.name != os.devnull else None


class OutputError(Exception):
    """What a command prints cannot be written."""


def say(text: str) -> None:
    """Print to the standard output at once; raises ``OutputError``."""
    try:
        print(text, flush=True)
    except (OSError, ValueError) as error:
        _give_up(sys.stdout)
        raise OutputError(f"The output cannot be written: {error}.") from error


def complain(*lines: str) -> None:
    """Print to the error stream; one that cannot be written changes neither the exit code nor what happens."""
    try:
        print(*lines, sep="\n", file=sys.stderr, flush=True)
    except (OSError, ValueError):
        _give_up(sys.stderr)


def _give_up(stream: TextIO) -> None:
    """Let what the stream still holds go to the null device, so that the interpreter's own last flush works."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def wants_colors(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Colours are for a terminal that has them and a person who has not said no (https://no-color.org)."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
