"""The query of ``GET /v1/runs``: a filter expression, a limit and an order.

Pure; of the upstream's filter language it speaks the one sentence that clients use.
"""

import re
from collections.abc import Mapping

import attrs

from runflow_mcp.sandbox.problems import bad_request

DEFAULT_LIMIT = 20
MAX_LIMIT = 100

_FILTER = re.compile(r"client_ref\.EQ:'([^']*)'")
_LIMIT = re.compile(r"[0-9]{1,3}")
_ORDERS = {"created_at:desc": True, "created_at:asc": False}


@attrs.frozen
class Listing:
    client_ref: str | None
    limit: int
    newest_first: bool


def parse(query: Mapping[str, str]) -> Listing:
    """The listing that the query asks for, or the ``Problem`` that refuses it."""
    client_ref = None
    if "q" in query:
        match = _FILTER.fullmatch(query["q"])
        if match is None:
            raise bad_request("Invalid filter expression in q")
        client_ref = match[1]
    limit = query.get("limit", str(DEFAULT_LIMIT))
    if not _LIMIT.fullmatch(limit) or not 1 <= int(limit) <= MAX_LIMIT:
        raise bad_request(f"limit must be between 1 and {MAX_LIMIT}")
    order = query.get("sort_by", "created_at:desc")
    if order not in _ORDERS:
        raise bad_request("Invalid sort_by")
    return Listing(client_ref, int(limit), _ORDERS[order])
