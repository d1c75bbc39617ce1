"""The table of revisions, what ``initialize`` agrees on, and the extensions that a request declares."""

import pytest
from hypothesis import given

from runflow_mcp.protocol.jsonrpc import ErrorCode, ProtocolError
from runflow_mcp.protocol.revisions import FEATURES, ProtocolContext, Revision, negotiate, require_extension
from tests.protocol.property_settings import json_values, law

LEGACY_REVISIONS = ("2025-03-26", "2025-06-18", "2025-11-25")
MODERN = "2026-07-28"
TASKS = "io.modelcontextprotocol/tasks"


def test_every_revision_has_its_row_of_features() -> None:
    assert list(FEATURES) == list(Revision) == [*LEGACY_REVISIONS, MODERN]


@pytest.mark.parametrize("revision", LEGACY_REVISIONS)
def test_initialize_agrees_on_a_requested_legacy_revision(revision: str) -> None:
    assert negotiate(revision) == revision


@pytest.mark.parametrize("requested", ["2024-11-05", MODERN, "2099-01-01", "", "2025-11-25 ", "latest"])
def test_initialize_answers_any_other_version_with_the_latest_legacy_revision(requested: str) -> None:
    assert negotiate(requested) == "2025-11-25"


@law
@given(json_values)
def test_no_requested_version_makes_the_negotiation_fail(requested: object) -> None:
    assert negotiate(requested) in LEGACY_REVISIONS


@pytest.mark.parametrize("extensions", [None, [], "x", {}, {TASKS: None}, {TASKS: True}, {TASKS: []}])
def test_only_an_object_declares_an_extension(extensions: object) -> None:
    protocol = ProtocolContext(Revision.V2026_07_28, {"extensions": extensions})
    assert not protocol.declares(TASKS)
    with pytest.raises(ProtocolError) as caught:
        require_extension(protocol, TASKS)
    assert caught.value.code == ErrorCode.MISSING_REQUIRED_CLIENT_CAPABILITY
    assert caught.value.data == {"requiredCapabilities": {"extensions": {TASKS: {}}}}


def test_a_declared_extension_satisfies_the_requirement() -> None:
    require_extension(ProtocolContext(Revision.V2026_07_28, {"extensions": {TASKS: {"x": 1}}}), TASKS)
