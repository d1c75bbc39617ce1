"""The result view as a resource: its document, and the origins from which a host must let it load media."""

from functools import lru_cache

from runflow_mcp.methods.context import Services
from runflow_mcp.methods.fixed_resources import FixedResource
from runflow_mcp.view import result_view


def view_resource(services: Services) -> FixedResource:
    """The view under the settings of this process."""
    return _resource(result_view.media_origins(services.config))


@lru_cache(maxsize=8)
def _resource(origins: tuple[str, ...]) -> FixedResource:
    return FixedResource(
        uri=result_view.URI,
        name=result_view.NAME,
        title=result_view.TITLE,
        description=result_view.DESCRIPTION,
        mime_type=result_view.MIME_TYPE,
        text=result_view.document(),
        meta=result_view.resource_meta(origins),
        kind="view",
    )
