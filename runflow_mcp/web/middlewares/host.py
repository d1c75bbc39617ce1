"""The Host allowlist: with the one for Origin, the defence against DNS rebinding (transports, "Security Warning")."""

from aiohttp import web

from runflow_mcp.errors import Rejection, RejectionCode
from runflow_mcp.settings.config import Config
from runflow_mcp.web.allowlists import expand_hosts
from runflow_mcp.web.middlewares.checks import Check
from runflow_mcp.web.request_state import RequestState


def host_check(config: Config) -> Check:
    allowed = expand_hosts(config.allowed_hosts)
    any_host = "*" in allowed

    def check(request: web.Request, state: RequestState) -> None:
        if not state.guards.allowlists:
            return
        values = request.headers.getall("Host", ())
        if len(values) != 1:
            sent = "no Host header" if not values else f"{len(values)} Host headers"
            raise Rejection(RejectionCode.BAD_REQUEST, f"The request has {sent}; HTTP/1.1 requires exactly one.")
        host = values[0]
        in_origin_form = request.host == host
        if any_host or (in_origin_form and host in allowed):
            return
        hosts = {host.strip().lower()}
        if not in_origin_form:
            # A request target in absolute form names a host too, which takes precedence (RFC 9112, 3.2.2).
            hosts.add(request.url.authority.lower())
        if not allowed.issuperset(hosts):
            raise Rejection(
                RejectionCode.HOST_REJECTED,
                "This server does not accept the Host of this request. Use the address that its operator gave "
                "you, or have the operator add the host to MCP_ALLOWED_HOSTS.",
            )

    return check
