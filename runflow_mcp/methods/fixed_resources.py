"""The resources at fixed URIs: what one is, how it is listed, and how it is read.

Pure. Each resource is made by a module of its own, once per version of its text; ``resources`` has the table of them.
"""

import attrs
import orjson

from runflow_mcp.json_types import JSON, JSONObject


@attrs.frozen
class FixedResource:
    """One version of a resource, the same for every key.

    ``meta``: the ``_meta`` of its listing and of its content. ``aliases``: further URIs under which it is read, but
    not listed.
    """

    uri: str
    name: str
    title: str
    description: str
    mime_type: str
    text: str = attrs.field(repr=False)
    meta: JSONObject = attrs.field(factory=dict)
    aliases: frozenset[str] = frozenset()
    #: Its name in the access line.
    kind: str = attrs.field(kw_only=True)
    #: The entry of ``resources/list`` as JSON.
    listing: bytes = attrs.field(init=False, repr=False)
    _text_json: bytes = attrs.field(init=False, repr=False)

    @listing.default
    def _make_listing(self) -> bytes:
        entry: dict[str, JSON] = {
            "uri": self.uri,
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "mimeType": self.mime_type,
            "size": len(self.text.encode()),
        }
        return orjson.dumps({**entry, "_meta": self.meta} if self.meta else entry)

    @_text_json.default
    def _make_text_json(self) -> bytes:
        return orjson.dumps(self.text)

    def answers(self, uri: str) -> bool:
        """Whether this is the resource at a URI."""
        return uri == self.uri or uri in self.aliases

    def content(self, uri: str) -> dict[str, JSON]:
        """The content in ``resources/read``. ``uri``: the requested one, which the answer repeats."""
        content: dict[str, JSON] = {
            "uri": uri,
            "mimeType": self.mime_type,
            "text": orjson.Fragment(self._text_json),
        }
        return {**content, "_meta": self.meta} if self.meta else content
