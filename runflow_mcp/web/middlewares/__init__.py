"""The middlewares, one concern each. ``stack`` is their order, outermost first, with the reason for each place."""

from aiohttp.typedefs import Middleware

from runflow_mcp.settings.config import Config
from runflow_mcp.web.middlewares.access_log import access_log
from runflow_mcp.web.middlewares.bearer import bearer_guard
from runflow_mcp.web.middlewares.body import body_guard
from runflow_mcp.web.middlewares.client_address import client_address_guard
from runflow_mcp.web.middlewares.cors import preflight
from runflow_mcp.web.middlewares.host import host_guard
from runflow_mcp.web.middlewares.origin import origin_guard
from runflow_mcp.web.middlewares.rate_limit import limit_authenticated, limit_unauthenticated
from runflow_mcp.web.middlewares.rejections import rejections

__all__ = ["stack"]


def stack(config: Config) -> list[Middleware]:
    return [
        client_address_guard(config),  # the access line and the limits need it
        access_log(config),  # outside everything that answers, so that it logs every request
        rejections(config),  # renders what the guards below raise
        host_guard(config),  # before anything that costs: this is what stops DNS rebinding
        origin_guard(config),
        preflight,  # browsers send preflights without a bearer
        body_guard(config),  # looks at headers only, so it comes before anything is counted
        limit_unauthenticated,  # outside the bearer guard: counts the requests that it rejects
        bearer_guard(config),
        limit_authenticated,  # inside it: counts by key. Last: requests rejected for their headers are not counted
    ]
