"""Which guards protect a resource: an attribute of the resource, which the middlewares read."""

import attrs
from aiohttp import web


@attrs.frozen
class Guards:
    """What a request must pass before the handler of its resource runs."""

    #: The Host and Origin allowlists.
    allowlists: bool = True
    #: The body of a POST is JSON of a bounded length.
    json_body: bool = False
    #: The request brings a bearer, and is counted in the windows of the rate limits.
    bearer: bool = False
    #: Its access lines are at debug: what asks for it does so all the time, or is a person with a browser.
    quiet: bool = False


#: For a path without a resource.
UNMATCHED = Guards()


class GuardedResource(web.PlainResource):
    """A path with its guards. ``log_path``: how the access line names it."""

    def __init__(self, path: str, guards: Guards, *, log_path: str | None = None) -> None:
        super().__init__(path)
        self.guards = guards
        self.log_path = log_path or path


def guards_of(request: web.Request) -> Guards:
    resource = request.match_info.route.resource
    return resource.guards if isinstance(resource, GuardedResource) else UNMATCHED


def log_path_of(request: web.Request) -> str | None:
    """The path of the resource. The path as requested could hold anything, such as an API key."""
    resource = request.match_info.route.resource
    return resource.log_path if isinstance(resource, GuardedResource) else None
