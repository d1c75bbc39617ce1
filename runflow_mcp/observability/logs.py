"""How log lines are written. Configured once, by the command line; modules only ask structlog for a logger."""

import logging
import sys
from typing import TextIO

import orjson
import structlog
from structlog.typing import Processor

from runflow_mcp.config import Config


def configure(config: Config, stream: TextIO = sys.stderr) -> None:
    """Set the level and format of everything that is logged."""
    console = config.log_format == "console" or (config.log_format == "auto" and stream.isatty())
    level = logging.getLevelNamesMapping()[config.log_level.upper()]
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if console:
        structlog.configure(
            # The plain formatter: the rich one prints local variables, and one of them is the key.
            processors=[
                *shared,
                structlog.dev.ConsoleRenderer(
                    colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
                ),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(level),
            logger_factory=structlog.PrintLoggerFactory(stream),
            cache_logger_on_first_use=True,
        )
    else:
        structlog.configure(
            processors=[
                *shared,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(serializer=orjson.dumps),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(level),
            logger_factory=structlog.BytesLoggerFactory(stream.buffer),
            cache_logger_on_first_use=True,
        )
    # aiohttp and asyncio log through the standard library, rarely.
    logging.basicConfig(level=max(level, logging.WARNING), stream=stream, format="%(levelname)s %(name)s: %(message)s")
