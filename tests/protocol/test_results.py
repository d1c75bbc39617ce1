"""What a revision adds to the results of methods."""

from typing import Any

import pytest

from runflow_mcp.protocol.results import finalize_result, with_cache_hints
from runflow_mcp.protocol.revisions import ProtocolContext, Revision

LEGACY_REVISIONS = ("2025-03-26", "2025-06-18", "2025-11-25")
SERVER = {"io.modelcontextprotocol/serverInfo": {"name": "Runflow", "version": "1"}}


@pytest.mark.parametrize("revision", LEGACY_REVISIONS)
def test_a_legacy_result_is_not_changed(revision: str) -> None:
    protocol = ProtocolContext(Revision(revision))
    result: dict[str, Any] = {"tools": []}
    assert finalize_result(with_cache_hints(result, protocol, 1000), protocol, SERVER) == {"tools": []}


def test_a_modern_result_has_a_type_and_names_the_server() -> None:
    protocol = ProtocolContext(Revision.V2026_07_28)
    assert finalize_result({"a": 1, "_meta": {"x/y": 2}}, protocol, SERVER) == {
        "resultType": "complete",
        "a": 1,
        "_meta": {**SERVER, "x/y": 2},
    }
    assert finalize_result({"resultType": "task"}, protocol, SERVER) == {"resultType": "task", "_meta": SERVER}


def test_a_modern_list_says_how_long_and_by_whom_it_may_be_cached() -> None:
    result = with_cache_hints({"tools": []}, ProtocolContext(Revision.V2026_07_28), 5000)
    assert result == {"tools": [], "ttlMs": 5000, "cacheScope": "public"}
