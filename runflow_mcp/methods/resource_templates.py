"""The type of a resource template: its listing, the reader of its resources, and the values of its variables."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import attrs
import orjson

from runflow_mcp.json_types import JSON
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.runflow.catalog.entries import Snapshot

JSON_TYPE = "application/json"


@attrs.frozen
class Reading:
    """What was read: a JSON text, and its cache hints (milliseconds, and ``public`` or ``private``)."""

    text: bytes = attrs.field(repr=False)
    ttl_ms: int = 0
    scope: str = "private"

    def content(self, uri: str) -> dict[str, JSON]:
        """The content in ``resources/read``."""
        return {"uri": uri, "mimeType": JSON_TYPE, "text": self.text.decode()}


#: (the request's URI, the part after the prefix, the context) → what was read. Raises ``ProtocolError``.
Reader = Callable[[str, str, RequestContext], Awaitable[Reading]]
#: (the catalog, the other variables' values) → the values that a variable may have.
Values = Callable[[Snapshot, Mapping[str, str]], Sequence[str]]


@attrs.frozen
class Template:
    """A template of resources (RFC 6570), whose contents are JSON. ``kind``: their name in the access line.

    ``variables``: those in the template, each with its values; None where they cannot be listed.
    """

    uri_template: str
    kind: str
    name: str
    title: str
    description: str
    read: Reader
    variables: Mapping[str, Values | None]

    @property
    def prefix(self) -> str:
        """The part before the first variable; the URI of each resource begins with it."""
        return self.uri_template.partition("{")[0]

    @property
    def listing(self) -> dict[str, str]:
        """The entry of ``resources/templates/list``."""
        return {
            "uriTemplate": self.uri_template,
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "mimeType": JSON_TYPE,
        }


def list_json(templates: Sequence[Template]) -> bytes:
    """``resourceTemplates`` as JSON."""
    return orjson.dumps([template.listing for template in templates])
