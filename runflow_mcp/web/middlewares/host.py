"""The Host allowlist: with the one for Origin, the defence against DNS rebinding (transports, "Security Warning")."""

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from runflow_mcp.errors import Rejection, RejectionCode
from runflow_mcp.settings.config import Config
from runflow_mcp.web.allowlists import expand_hosts
from runflow_mcp.web.guards import guards_of


def host_guard(config: Config) -> Middleware:
    allowed = expand_hosts(config.allowed_hosts)
    any_host = "*" in allowed

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not guards_of(request).allowlists:
            return await handler(request)
        values = request.headers.getall("Host", ())
        if len(values) != 1:
            sent = "no Host header" if not values else f"{len(values)} Host headers"
            raise Rejection(RejectionCode.BAD_REQUEST, f"The request has {sent}; HTTP/1.1 requires exactly one.")
        hosts = {values[0].strip().lower()}
        if request.host != values[0]:
            # A request target in absolute form names a host too, which takes precedence (RFC 9112, 3.2.2).
            hosts.add(request.url.authority.lower())
        if not any_host and not allowed.issuperset(hosts):
            raise Rejection(
                RejectionCode.HOST_REJECTED,
                "This server does not accept the Host of this request. Use the address that its operator gave "
                "you, or have the operator add the host to MCP_ALLOWED_HOSTS.",
            )
        return await handler(request)

    return middleware
