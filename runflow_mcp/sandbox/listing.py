"""The query of ``GET /v1/runs``: a filter expression, a limit, an order and a page.

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
#: A cursor says where its page begins; clients send it back as it came.
_CURSOR = re.compile(r"from-([0-9]{1,6})")
_ORDERS = {"created_at:desc": True, "created_at:asc": False}


@attrs.frozen
class Listing:
    client_ref: str | None
    limit: int
    newest_first: bool
    start: int


def cursor(start: int) -> str:
    """``next_pq`` or ``prev_pq`` of the page that begins with the run of that number."""
    return f"from-{start}"


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
    page = _CURSOR.fullmatch(query.get("pq", cursor(0)))
    if page is None:
        raise bad_request("Invalid pq")
    return Listing(client_ref, int(limit), _ORDERS[order], int(page[1]))
