"""The configuration of logging, applied once by the command line; other modules only call ``structlog.get_logger``."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

from runflow_mcp.clock import SystemClock
from runflow_mcp.observability.console import for_people
from runflow_mcp.observability.json_lines import JSONLines
from runflow_mcp.observability.sink import Sink
from runflow_mcp.settings.config import Config

#: Maximum seconds for writing the last lines when the process stops.
FLUSH_TIMEOUT = 0.5


@contextmanager
def configured(
    config: Config, descriptor: int | None, *, terminal: bool, colors: bool, process_id: int | None = None
) -> Iterator[Sink]:
    """Set the level and format of all log lines; yields the sink that they go to, and closes it at the end.

    ``descriptor``: the file descriptor to write to; with None lines are dropped. ``terminal``: a person reads it.
    ``process_id``: added to every line where several processes log to the same place.
    """
    console = config.log_format == "console" or (config.log_format == "auto" and terminal)
    level = logging.getLevelNamesMapping()[config.log_level.upper()]
    common = {} if process_id is None else {"pid": process_id}
    lines = JSONLines(level, SystemClock(), common)
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        *(_console(common, colors=colors) if console else _json(lines)),
    ]

    def notice(dropped: int) -> bytes:
        line: Any = {"event": "log_lines_dropped", "count": dropped}
        for processor in processors:
            line = processor(None, "warning", line)
        return _line(line)

    sink = Sink(descriptor, notice=notice, lines=None if console else lines, shared=process_id is not None)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_names: _Logger(sink),
        cache_logger_on_first_use=True,
    )
    # aiohttp and asyncio log through the standard library; Python would print its warnings to standard error.
    handler = _StandardHandler(sink)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    previous_level = root.level
    root.setLevel(max(level, logging.WARNING))
    logging.captureWarnings(True)  # noqa: FBT003 - its only form
    try:
        yield sink
    finally:
        logging.captureWarnings(False)  # noqa: FBT003
        root.removeHandler(handler)
        root.setLevel(previous_level)
        sink.close(FLUSH_TIMEOUT)


def _console(common: Mapping[str, Any], *, colors: bool) -> list[Processor]:
    def add_common(_logger: object, _method: str, line: EventDict) -> EventDict:
        return {**line, **common}

    # The plain formatter: the rich one prints local variables, and one of them may be a key.
    plain = structlog.dev.plain_traceback
    return [
        add_common,
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
        for_people,
        structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain, sort_keys=False, pad_event_to=20),
    ]


def _json(lines: JSONLines) -> list[Processor]:
    def rendered(_logger: object, _method: str, line: EventDict) -> bytes:
        return lines.render(line.pop("event"), line.pop("level"), line)

    return [structlog.processors.format_exc_info, rendered]


def _line(rendered: bytes | str) -> bytes:
    """What the last processor returned, as a line: JSON has its line feed already."""
    return rendered if isinstance(rendered, bytes) else f"{rendered}\n".encode(errors="backslashreplace")


class _Logger:
    """The logger at the end of structlog's chain of processors."""

    def __init__(self, sink: Sink) -> None:
        self._write = sink.write

    def msg(self, rendered: bytes | str) -> None:
        self._write(_line(rendered))

    debug = info = warning = error = critical = exception = msg


class _StandardHandler(logging.Handler):
    def __init__(self, sink: Sink) -> None:
        super().__init__()
        self._write = sink.write

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception:  # noqa: BLE001 - a broken format string must not fail the code that logs it
            text = f"{record.levelname} {record.name}: {record.msg!r}"
        self._write(_line(text))
