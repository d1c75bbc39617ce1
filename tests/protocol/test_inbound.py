"""Which revision a message uses, judged by its body and three headers, and which error it gets otherwise."""

import base64

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runflow_mcp.protocol.http_status import CLASSIFY_ERROR_STATUS
from runflow_mcp.protocol.inbound import RoutingHeaders, classify
from runflow_mcp.protocol.jsonrpc import (
    Batch,
    ErrorCode,
    Message,
    Notification,
    ProtocolError,
    Request,
    Response,
    parse,
)
from runflow_mcp.protocol.revisions import SUPPORTED, Era, ProtocolContext, Revision
from tests.protocol.property_settings import json_values, law

LEGACY_REVISIONS = ("2025-03-26", "2025-06-18", "2025-11-25")
MODERN = "2026-07-28"
VERSION = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
TASKS = "io.modelcontextprotocol/tasks"
META = {VERSION: MODERN, CAPABILITIES: {}}

NOTE = Notification("notifications/initialized", {})


def ping(**params: object) -> Request:
    return Request(1, "ping", params)


def modern(method: str = "tools/list", meta: object = META, **params: object) -> Request:
    return Request(1, method, {**params, "_meta": meta})


def headers(version: str | None = None, method: str | None = None, name: str | None = None) -> RoutingHeaders:
    return RoutingHeaders(*(() if value is None else (value,) for value in (version, method, name)))


def accepted(message: Message | Batch, sent: RoutingHeaders) -> ProtocolContext:
    protocol = classify(message, sent)
    assert isinstance(protocol, ProtocolContext)
    return protocol


def rejected(message: Message | Batch, sent: RoutingHeaders) -> ProtocolError:
    error = classify(message, sent)
    assert isinstance(error, ProtocolError)
    return error


@pytest.mark.parametrize("version", [*LEGACY_REVISIONS, MODERN, "1999-01-01", "nonsense", None])
def test_initialize_is_legacy_whatever_its_header_says(version: str | None) -> None:
    request = Request(1, "initialize", {"protocolVersion": "2025-06-18"})
    assert accepted(request, headers(version)).era is Era.LEGACY


def test_initialize_with_modern_meta_is_modern() -> None:
    """The modern era has no ``initialize``: it becomes an unknown method."""
    assert accepted(modern("initialize"), headers(MODERN, "initialize")).era is Era.MODERN


# The legacy era


@pytest.mark.parametrize(
    "message", [ping(), NOTE, Response(), Batch((ping(),))], ids=lambda message: type(message).__name__
)
def test_a_message_without_the_version_header_uses_the_oldest_revision(message: Message) -> None:
    assert accepted(message, headers()) == ProtocolContext(Revision.V2025_03_26)


@pytest.mark.parametrize("revision", LEGACY_REVISIONS)
@pytest.mark.parametrize("around", ["{}", " {}", "{}\t"])
@pytest.mark.parametrize("message", [ping(), NOTE, Response()], ids=lambda message: type(message).__name__)
def test_the_version_header_names_the_revision(message: Message, revision: str, around: str) -> None:
    assert accepted(message, headers(around.format(revision))).revision == revision


@pytest.mark.parametrize(
    "meta",
    [
        None,
        {},
        {"progressToken": 1},
        {f"{VERSION}x": MODERN},
        "text",
        [],
        {"io.modelcontextprotocol/other": 1},
    ],
)
def test_other_members_of_meta_do_not_make_a_request_modern(meta: object) -> None:
    assert accepted(ping(_meta=meta), headers("2025-06-18")).era is Era.LEGACY


def test_routing_headers_do_not_make_a_request_modern() -> None:
    """A widely used bridge sends them with every revision; legacy requests are not checked against them."""
    assert accepted(ping(), headers("2025-06-18", "tools/call", "nonsense")).revision == "2025-06-18"
    assert accepted(ping(), headers(None, "tools/call")).revision == "2025-03-26"


def test_only_the_oldest_revision_takes_a_batch() -> None:
    batch = Batch((ping(),))
    assert accepted(batch, headers("2025-03-26")).revision == "2025-03-26"
    for later in ("2025-06-18", "2025-11-25", MODERN):
        assert rejected(batch, headers(later)).code == ErrorCode.INVALID_REQUEST, later


@pytest.mark.parametrize("version", ["1999-01-01", "2025-11-26", "", "2025-06-18, 2025-06-18", "x" * 1000])
@pytest.mark.parametrize("message", [NOTE, Response(), Batch((ping(),))], ids=lambda message: type(message).__name__)
def test_an_unknown_revision_is_rejected_with_the_list_of_supported_ones(message: Message, version: str) -> None:
    error = rejected(message, headers(version))
    assert error.data["supported"] == list(SUPPORTED)
    assert version == "" or version not in error.message


@pytest.mark.parametrize("message", [ping(), NOTE], ids=["request", "notification"])
def test_two_version_headers_are_rejected(message: Message) -> None:
    rejected(message, RoutingHeaders(("2025-06-18", "2025-11-25")))


# The modern era


def test_a_modern_request_carries_its_revision_and_the_capabilities_of_its_client() -> None:
    meta = {VERSION: MODERN, CAPABILITIES: {"extensions": {TASKS: {}}, "roots": {}}}
    protocol = accepted(modern(meta=meta), headers(MODERN, "tools/list"))
    assert (protocol.revision, protocol.era) == (MODERN, Era.MODERN)
    assert protocol.declares(TASKS)
    assert not protocol.declares("com.example/other")


@pytest.mark.parametrize("message", [NOTE, Response()], ids=["notification", "response"])
def test_notifications_and_responses_are_modern_by_the_version_header_alone(message: Message) -> None:
    assert accepted(message, headers(MODERN)).era is Era.MODERN


@pytest.mark.parametrize(
    "meta",
    [
        {},
        None,
        {VERSION: MODERN},
        {CAPABILITIES: {}},
        {VERSION: 20260728, CAPABILITIES: {}},
        {VERSION: None, CAPABILITIES: {}},
        {VERSION: MODERN, CAPABILITIES: None},
        {VERSION: MODERN, CAPABILITIES: []},
    ],
)
def test_a_modern_request_without_complete_meta_has_invalid_params(meta: object) -> None:
    """This is checked before the headers are compared."""
    assert rejected(modern(meta=meta), headers(MODERN, "nonsense")).code == ErrorCode.INVALID_PARAMS


@pytest.mark.parametrize("version", ["2099-01-01", "2024-11-05", "2025-06-18x", "latest", "DRAFT-2026-v1", "1", ""])
@pytest.mark.parametrize(
    "meta",
    [None, {}, {"progressToken": 1}, {CAPABILITIES: {}}, {VERSION: 1, CAPABILITIES: {}}, {VERSION: "2099-01-01"}],
)
def test_an_unknown_version_header_gets_the_list_of_supported_ones_whatever_the_meta(
    version: str, meta: object
) -> None:
    for method in ("ping", "tools/list", "tools/call", "server/discover"):
        error = rejected(Request(1, method, {"_meta": meta}), headers(version, method))
        assert error.code == ErrorCode.UNSUPPORTED_PROTOCOL_VERSION
        assert error.data == {"supported": list(SUPPORTED), "requested": version}


def test_only_the_beginning_of_a_long_unknown_version_is_repeated() -> None:
    long = "2099-01-01\x00" + "x" * 5000
    for error in (
        rejected(ping(), headers(long)),
        rejected(modern(meta=META | {VERSION: long}), headers(long, "tools/list")),
    ):
        assert error.code == ErrorCode.UNSUPPORTED_PROTOCOL_VERSION
        assert len(error.data["requested"]) <= 65
        assert error.data["requested"].isprintable()


def test_an_unknown_version_that_may_be_a_key_is_not_repeated() -> None:
    assert rejected(ping(), headers("rf_live_1234567890")).data["requested"] == ""
    assert rejected(ping(), headers("2099_01_01")).data["requested"] == "2099_01_01"


def test_a_request_with_a_modern_version_header_but_no_meta_has_invalid_params() -> None:
    assert rejected(ping(), headers(MODERN, "ping")).code == ErrorCode.INVALID_PARAMS


@pytest.mark.parametrize(
    ("request_", "sent"),
    [
        (modern(), headers()),
        (modern(), headers(MODERN)),
        (modern(), headers(None, "tools/list")),
        (modern(), headers("2025-11-25", "tools/list")),
        (modern(), headers("2099-01-01", "tools/list")),
        (modern(), headers(MODERN, "tools/call")),
        (modern(), headers(MODERN, "TOOLS/LIST")),
        (modern(), RoutingHeaders((MODERN, MODERN), ("tools/list",))),
        (modern(), RoutingHeaders((MODERN,), ("tools/list", "tools/list"))),
        (modern("tools/call", name="generate"), headers(MODERN, "tools/call")),
        (modern("tools/call", name="generate"), headers(MODERN, "tools/call", "list_models")),
        (modern("tools/call", name="generate"), headers(MODERN, "tools/call", "Generate")),
        (modern("tools/call", name="generate"), headers(MODERN, "tools/call", "=?base64?!!?=")),
        (modern("tools/call", name="generate"), headers(MODERN, "tools/call", "=?base64?/w==?=")),
        (modern("tools/call", name="=?base64?eA==?="), headers(MODERN, "tools/call", "=?base64?eA==?=")),
        (modern("tools/call", name="generate"), RoutingHeaders((MODERN,), ("tools/call",), ("generate", "generate"))),
        (modern("prompts/get", name="a"), headers(MODERN, "prompts/get", "b")),
        (modern("tasks/get", taskId="a"), headers(MODERN, "tasks/get")),
        (modern(meta=META | {VERSION: "2099-01-01"}), headers(MODERN, "tools/list")),
    ],
)
def test_routing_headers_that_differ_from_the_body_are_a_header_mismatch(
    request_: Request, sent: RoutingHeaders
) -> None:
    assert rejected(request_, sent).code == ErrorCode.HEADER_MISMATCH


def encoded(text: str) -> str:
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("generate", "generate"),
        ("generate", "  generate\t"),
        ("generate", encoded("generate")),
        ("\tgenerate ", encoded("\tgenerate ")),
        ("héadshot", encoded("héadshot")),
        ("", ""),
        ("=?base64?x", "=?base64?x"),
        ("=?base64?eA==?=", encoded("=?base64?eA==?=")),
    ],
)
def test_the_name_header_may_be_encoded_in_base64(name: str, header: str) -> None:
    protocol = accepted(modern("tools/call", name=name), headers(MODERN, "tools/call", header))
    assert protocol.revision == MODERN


@law
@given(st.text(max_size=30))
def test_every_name_can_be_sent_in_base64(name: str) -> None:
    assert accepted(modern("prompts/get", name=name), headers(MODERN, "prompts/get", encoded(name)))


def test_the_name_header_is_required_only_where_the_body_has_a_name() -> None:
    assert accepted(modern("tools/call"), headers(MODERN, "tools/call"))
    assert accepted(modern("tools/call", name=5), headers(MODERN, "tools/call"))
    assert accepted(modern("tools/list", name="x"), headers(MODERN, "tools/list"))


def test_an_unsupported_version_in_meta_is_rejected_with_the_list_of_supported_ones() -> None:
    error = rejected(modern(meta=META | {VERSION: "2099-01-01"}), headers("2099-01-01", "tools/list"))
    assert error.code == ErrorCode.UNSUPPORTED_PROTOCOL_VERSION
    assert error.data == {"supported": list(SUPPORTED), "requested": "2099-01-01"}


@pytest.mark.parametrize("legacy", LEGACY_REVISIONS)
def test_a_legacy_revision_in_meta_is_rejected(legacy: str) -> None:
    error = rejected(modern(meta=META | {VERSION: legacy}), headers(legacy, "tools/list"))
    assert error.code == ErrorCode.UNSUPPORTED_PROTOCOL_VERSION
    assert error.data["requested"] == legacy


header_values = st.lists(
    st.sampled_from([*LEGACY_REVISIONS, MODERN, "ping", "tools/call", "generate", "=?base64??=", "=?base64?=", ""])
    | st.text(max_size=12),
    max_size=2,
).map(tuple)


@law
@given(
    st.builds(
        Request,
        st.just(1),
        st.sampled_from(["initialize", "ping", "tools/call", "tasks/get"]),
        st.fixed_dictionaries(
            {},
            optional={
                "name": json_values,
                "taskId": json_values,
                "_meta": json_values
                | st.fixed_dictionaries(
                    {},
                    optional={
                        VERSION: st.sampled_from([MODERN, *LEGACY_REVISIONS]) | json_values,
                        CAPABILITIES: json_values,
                    },
                ),
            },
        ),
    )
    | st.just(NOTE)
    | st.just(Batch((NOTE,))),
    st.builds(RoutingHeaders, header_values, header_values, header_values),
)
def test_every_message_has_a_revision_or_gets_an_error(message: Message | Batch, sent: RoutingHeaders) -> None:
    outcome = classify(message, sent)
    if isinstance(outcome, ProtocolError):
        assert outcome.message.endswith(".")
        orjson.dumps(outcome.data)
    else:
        assert (outcome.era is Era.MODERN) == (outcome.revision == MODERN)
        assert not isinstance(message, Batch) or outcome.revision == "2025-03-26"


def test_every_error_of_classify_is_a_bad_request() -> None:
    """The statuses over HTTP are tested in ``test_legacy_answers`` and ``test_modern_answers``."""
    assert CLASSIFY_ERROR_STATUS == 400


def test_a_whole_body_is_classified() -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}
    message = parse(orjson.dumps(body))
    assert accepted(message, headers(MODERN, "tools/list")) == ProtocolContext(Revision.V2026_07_28, {})
