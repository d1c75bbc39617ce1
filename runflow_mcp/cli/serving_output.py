"""Where the log of a serving command goes, and its texts for people."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from runflow_mcp.cli import terminal
from runflow_mcp.cli.welcome import drain_notice
from runflow_mcp.observability import logs
from runflow_mcp.observability.sink import Sink
from runflow_mcp.settings.config import Config


def logging_to_stderr(environ: Mapping[str, str], config: Config) -> AbstractContextManager[Sink]:
    return logs.configured(
        config,
        terminal.descriptor(sys.stderr),
        terminal=sys.stderr.isatty(),
        colors=terminal.wants_colors(sys.stderr, environ),
        process_id=os.getpid() if config.workers != 1 else None,
    )


@contextmanager
def printing(config: Config, text: str) -> Iterator[tuple[Callable[[], None], Callable[[int], None]]]:
    """What to call once clients can connect, and with the number of waiting calls when a drain begins."""
    # Through a sink, like the log: a reader that stops reading must not block the server.
    output = Sink(terminal.descriptor(sys.stdout))

    def show(line: str) -> None:
        if line:
            output.write(f"{line}\n".encode())

    def show_waits(waits: int) -> None:
        if sys.stdout.isatty():
            show(drain_notice(waits, config))

    try:
        yield lambda: show(text), show_waits
    finally:
        output.close(logs.FLUSH_TIMEOUT)
