"""The routes: path → handler and guards."""

from aiohttp import web
from aiohttp.typedefs import Handler

from runflow_mcp.web import health, page, rpc, server_card, wellknown
from runflow_mcp.web.body import defer_100_continue
from runflow_mcp.web.guards import GuardedResource, Guards

#: The path of the JSON-RPC endpoint. A slash at the end makes no difference.
MCP_PATH = "/mcp"

ENDPOINT = Guards(json_body=True, bearer=True)
#: Load balancers address a probe by IP, and have no key.
PROBE = Guards(allowlists=False, quiet=True)
DOCUMENT = Guards()
PAGE = Guards(quiet=True)
#: Documents that pages of any origin may read.
PUBLIC_DOCUMENT = Guards(any_origin=True)
_READ_METHODS = ("GET", "HEAD")


def add_routes(app: web.Application) -> None:
    for path in (MCP_PATH, f"{MCP_PATH}/"):
        endpoint = GuardedResource(path, ENDPOINT, log_path=MCP_PATH)
        endpoint.add_route("*", rpc.handle, expect_handler=defer_100_continue)
        app.router.register_resource(endpoint)
        # RFC 9728, 3.1: the resource's path is appended to the well-known path.
        _add_get(app, f"{wellknown.PATH}{path}", wellknown.protected_resource, DOCUMENT)
    _add_get(app, wellknown.PATH, wellknown.protected_resource, DOCUMENT)
    _add_get(app, server_card.CARD_PATH, server_card.get_card, PUBLIC_DOCUMENT)
    _add_get(app, server_card.CATALOG_PATH, server_card.get_catalog, PUBLIC_DOCUMENT)
    # One route for every method: whatever is not a browser's GET is answered like an unknown path.
    home = GuardedResource(page.PATH, PAGE)
    home.add_route("*", page.get_page)
    app.router.register_resource(home)
    _add_get(app, health.HEALTHZ, health.healthz, PROBE)
    _add_get(app, health.READYZ, health.readyz, PROBE)


def _add_get(app: web.Application, path: str, handler: Handler, guards: Guards) -> None:
    async def get_or_head(request: web.Request) -> web.StreamResponse:
        if request.method not in _READ_METHODS:
            raise web.HTTPMethodNotAllowed(request.method, _READ_METHODS)
        return await handler(request)

    # One route for every method: aiohttp finds no resource, and so no ``Guards``, for a method without a route.
    resource = GuardedResource(path, guards)
    resource.add_route("*", get_or_head)
    app.router.register_resource(resource)
