"""One guard a file. ``stack`` is their order, outermost first, with the reason for each place."""

from aiohttp.typedefs import Middleware

from runflow_mcp.settings.config import Config
from runflow_mcp.web.middlewares.access_log import access_log
from runflow_mcp.web.middlewares.auth import bearer_guard
from runflow_mcp.web.middlewares.body import body_guard
from runflow_mcp.web.middlewares.client_address import client_address_guard
from runflow_mcp.web.middlewares.cors import preflight
from runflow_mcp.web.middlewares.hosts import host_guard, origin_guard
from runflow_mcp.web.middlewares.rejections import rejections

__all__ = ["stack"]


def stack(config: Config) -> list[Middleware]:
    return [
        client_address_guard(config),  # the log line and the limits need it
        access_log(config),  # sees every answer, so that each request leaves one line
        rejections(config),  # turns what the guards raise into answers, which the line above then shows
        host_guard(config),  # before anything that costs: a rebinding page must not get further
        origin_guard(config),
        preflight,  # browsers send preflights without a bearer
        body_guard(config),  # judged by headers alone
        bearer_guard(config),  # with the windows: last, so that nothing refused by headers counts in them
    ]
