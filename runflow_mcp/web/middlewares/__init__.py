"""The middlewares, one concern each.

``stack`` is their order, outermost first, with the reason for each place. One of them runs the ``head_checks``.
"""

from aiohttp.typedefs import Middleware

from runflow_mcp.settings.config import Config
from runflow_mcp.web.middlewares.access_log import access_log
from runflow_mcp.web.middlewares.bearer import bearer_check
from runflow_mcp.web.middlewares.body import body_check
from runflow_mcp.web.middlewares.checks import Check, checks
from runflow_mcp.web.middlewares.cors import preflight
from runflow_mcp.web.middlewares.host import host_check
from runflow_mcp.web.middlewares.origin import origin_check
from runflow_mcp.web.middlewares.rate_limit import rate_limit
from runflow_mcp.web.middlewares.rejections import rejections

__all__ = ["head_checks", "stack"]


def head_checks(config: Config) -> list[Check]:
    """The checks of a request's head, in their order."""
    return [
        host_check(config),  # before anything that costs: this is what stops DNS rebinding
        origin_check(config),
        preflight,  # browsers send preflights without a bearer
        body_check(config),  # looks at headers only, so it comes before anything is counted
        bearer_check(config),
    ]


def stack(config: Config) -> list[Middleware]:
    return [
        access_log(config),  # outside everything that answers, so that it logs every request
        rejections(config),  # renders what is raised below
        checks(*head_checks(config)),
        rate_limit,  # counts by key, and what the bearer check rejects. Last: other rejections are not counted
    ]
