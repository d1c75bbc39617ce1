"""Host and Origin allowlists: the defence against DNS rebinding (transports, "Security Warning").

The health probes are outside: a load balancer asks by address.
"""

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from runflow_mcp.errors import Rejection, RejectionCode
from runflow_mcp.settings.config import Config
from runflow_mcp.web.app_keys import ORIGIN
from runflow_mcp.web.health import PROBES

_DEFAULT_PORT = {"http": "80", "https": "443"}


def has_port(host: str) -> bool:
    """Whether ``host`` ends in a port; the colons of ``[::1]`` are none."""
    _, colon, port = host.rpartition(":")
    return bool(colon) and port.isdigit()


def expand_hosts(hosts: tuple[str, ...]) -> frozenset[str]:
    """Every Host header that the entries allow: one without a port also allows 80 and 443."""
    expanded = {host.lower() for host in hosts}
    expanded |= {f"{host}:{port}" for host in expanded if not has_port(host) for port in _DEFAULT_PORT.values()}
    return frozenset(expanded)


def host_guard(config: Config) -> Middleware:
    allowed = expand_hosts(config.allowed_hosts)
    any_host = "*" in allowed

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in PROBES:
            return await handler(request)
        hosts = request.headers.getall("Host", ())
        if len(hosts) != 1:
            how_many = "no Host header" if not hosts else f"{len(hosts)} Host headers"
            raise Rejection(RejectionCode.BAD_REQUEST, f"The request has {how_many}; HTTP/1.1 wants exactly one.")
        named = {hosts[0].strip().lower()}
        if request.host != hosts[0]:
            # An absolute-form target names a host as well, and HTTP goes by that one (RFC 9112, 3.2.2).
            named.add(request.url.authority.lower())
        if not any_host and not allowed.issuperset(named):
            raise Rejection(
                RejectionCode.HOST_REJECTED,
                "This server does not answer to the Host of this request. Use the address its operator gave "
                "out, or have the operator add the host to MCP_ALLOWED_HOSTS.",
            )
        return await handler(request)

    return middleware


def expand_origins(origins: tuple[str, ...]) -> frozenset[str]:
    """Every Origin header that the entries allow; browsers leave default ports out."""
    expanded = {origin.lower() for origin in origins}
    for origin in tuple(expanded):
        scheme, _, host = origin.partition("://")
        default = _DEFAULT_PORT.get(scheme)
        if default is None:  # what browser extensions and desktop programs send has no port
            continue
        if has_port(host):
            expanded |= {origin.removesuffix(f":{default}")}
        else:
            expanded |= {f"{origin}:{default}"}
    return frozenset(expanded)


def origin_guard(config: Config) -> Middleware:
    allowed = expand_origins(config.allowed_origins)
    any_origin = "*" in allowed

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        origins = request.headers.getall("Origin", ())
        # An empty one names nobody, as none does.
        if origins and any(map(str.strip, origins)) and request.path not in PROBES:
            origin = origins[0].strip().lower()
            known = any_origin or origin in allowed
            # A sandboxed page or a file sends null; it could be anybody's.
            if len(origins) > 1 or origin == "null" or not known:
                raise Rejection(
                    RejectionCode.ORIGIN_REJECTED,
                    "Pages and programs of this Origin may not call this server. Have its operator add the value of "
                    "the Origin header, such as https://app.example.com or chrome-extension://<id>, to "
                    "MCP_ALLOWED_ORIGINS (null is never allowed).",
                )
            request[ORIGIN] = origins[0].strip()
        return await handler(request)

    return middleware
