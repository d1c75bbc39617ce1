"""The requests that are measured: what each of them sends in a revision. Pure."""

from collections.abc import Mapping
from typing import Any

import attrs
import orjson

from tests.serving import BOTH, KEY, modern

LEGACY, MODERN = "2025-06-18", "2026-07-28"
REVISIONS = (LEGACY, MODERN)


@attrs.frozen
class Request:
    """One POST to the MCP endpoint."""

    body: bytes
    headers: Mapping[str, str]


@attrs.frozen
class Row:
    """One line of the tables. ``modern_method``: what takes the method's place in 2026-07-28."""

    name: str
    method: str
    params: Mapping[str, Any] = attrs.Factory(dict)
    modern_method: str | None = None

    @property
    def slug(self) -> str:
        """The name as a path segment and a file name."""
        return self.name.replace("/", "-").replace(" ", "-")

    def request(self, revision: str) -> Request:
        """The request as an agent host sends it in this revision."""
        if revision == MODERN:
            params = {} if self.modern_method else self.params
            message, own = modern(self.modern_method or self.method, params)
        else:
            message = {"jsonrpc": "2.0", "id": 1, "method": self.method, "params": self.params}
            # A client learns the revision from the answer to initialize, and names it from then on.
            own = {} if self.method == "initialize" else {"MCP-Protocol-Version": revision}
        headers = {"Content-Type": "application/json", "Accept": BOTH, "Authorization": f"Bearer {KEY}", **own}
        return Request(orjson.dumps(message), headers)


def _list_models(limit: int) -> Row:
    return Row(f"list_models {limit}", "tools/call", {"name": "list_models", "arguments": {"limit": limit}})


ROWS = (
    Row(
        "initialize",
        "initialize",
        {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}},
        modern_method="server/discover",
    ),
    Row("tools/list", "tools/list"),
    Row("prompts/list", "prompts/list"),
    _list_models(5),
    _list_models(50),
)
