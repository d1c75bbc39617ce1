"""Which guards protect a resource: an attribute of the resource, which the middlewares read."""

import attrs
from aiohttp import web


@attrs.frozen
class Guards:
    """What a request must pass before the handler of its resource runs."""

    #: The Host and Origin allowlists.
    allowlists: bool = True
    #: Pages of any origin may read it, whatever the Origin allowlist says.
    any_origin: bool = False
    #: The body of a POST is JSON of a bounded length.
    json_body: bool = False
    #: The request brings a bearer, and is counted in the windows of the rate limits.
    bearer: bool = False
    #: Its access lines are at debug: it is for probes, or for people with a browser.
    quiet: bool = False


#: The CORS headers of a resource that pages of any origin may read; the server card's extension asks for these.
ANY_ORIGIN_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET",
    "Access-Control-Allow-Headers": "Content-Type, If-None-Match",
    "Access-Control-Expose-Headers": "ETag",
}
#: For a path without a resource.
UNMATCHED = Guards()


class GuardedResource(web.PlainResource):
    """A path with its guards. ``log_path``: how the access line names it."""

    def __init__(self, path: str, guards: Guards, *, log_path: str | None = None) -> None:
        super().__init__(path)
        self.guards = guards
        self.log_path = log_path or path


def resource_of(request: web.Request) -> GuardedResource | None:
    """The resource of the request's path; None where there is none."""
    resource = request.match_info.route.resource
    return resource if isinstance(resource, GuardedResource) else None
