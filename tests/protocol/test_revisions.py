"""Which revision a request speaks, by its body and three headers, and what differs between the two eras."""

import base64
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runflow_mcp.protocol import revisions
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
from runflow_mcp.protocol.revisions import Era, ProtocolContext, Revision, RoutingHeaders, classify, negotiate
from tests.protocol.laws import json_values, law

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
    return RoutingHeaders(*(() if one is None else (one,) for one in (version, method, name)))


def refused(message: Message | Batch, sent: RoutingHeaders) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        classify(message, sent)
    assert revisions.http_status(caught.value, Era.LEGACY) == 400
    return caught.value


# initialize


@pytest.mark.parametrize("revision", LEGACY_REVISIONS)
def test_a_legacy_revision_is_agreed_on(revision: str) -> None:
    assert negotiate(revision) == revision


@pytest.mark.parametrize("requested", ["2024-11-05", MODERN, "2099-01-01", "", "2025-11-25 ", "latest"])
def test_any_other_request_is_answered_with_the_latest_legacy_one(requested: str) -> None:
    assert negotiate(requested) == "2025-11-25"


@law
@given(json_values)
def test_negotiation_is_never_an_error(requested: object) -> None:
    assert negotiate(requested) in LEGACY_REVISIONS


@pytest.mark.parametrize("version", [*LEGACY_REVISIONS, MODERN, "1999-01-01", "nonsense", None])
def test_initialize_is_legacy_whatever_its_header_says(version: str | None) -> None:
    request = Request(1, "initialize", {"protocolVersion": "2025-06-18"})
    assert classify(request, headers(version)).era is Era.LEGACY


def test_initialize_with_modern_meta_is_modern() -> None:
    """Where it is an unknown method like any other."""
    assert classify(modern("initialize"), headers(MODERN, "initialize")).era is Era.MODERN


# The legacy era


@pytest.mark.parametrize("message", [ping(), NOTE, Response(), Batch((ping(),))], ids=lambda one: type(one).__name__)
def test_a_message_without_the_header_speaks_the_oldest(message: Message) -> None:
    assert classify(message, headers()) == ProtocolContext(Revision.V2025_03_26)


@pytest.mark.parametrize("revision", LEGACY_REVISIONS)
@pytest.mark.parametrize("around", ["{}", " {}", "{}\t"])
@pytest.mark.parametrize("message", [ping(), NOTE, Response()], ids=lambda one: type(one).__name__)
def test_the_header_names_the_revision(message: Message, revision: str, around: str) -> None:
    assert classify(message, headers(around.format(revision))).revision == revision


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
def test_other_meta_do_not_make_a_request_modern(meta: object) -> None:
    assert classify(ping(_meta=meta), headers("2025-06-18")).era is Era.LEGACY


def test_routing_headers_do_not_make_a_request_modern() -> None:
    """A widely used bridge sends them with every revision, and rightly or wrongly they are not judged there."""
    assert classify(ping(), headers("2025-06-18", "tools/call", "nonsense")).revision == "2025-06-18"
    assert classify(ping(), headers(None, "tools/call")).revision == "2025-03-26"


def test_only_the_oldest_takes_a_batch() -> None:
    batch = Batch((ping(),))
    assert classify(batch, headers("2025-03-26")).revision == "2025-03-26"
    for later in ("2025-06-18", "2025-11-25", MODERN):
        assert refused(batch, headers(later)).code == ErrorCode.INVALID_REQUEST, later


@pytest.mark.parametrize("version", ["1999-01-01", "2025-11-26", "", "2025-06-18, 2025-06-18", "x" * 1000])
@pytest.mark.parametrize("message", [NOTE, Response(), Batch((ping(),))], ids=lambda one: type(one).__name__)
def test_an_unknown_revision_is_refused_with_the_known_ones(message: Message, version: str) -> None:
    refusal = refused(message, headers(version))
    assert refusal.data["supported"] == [*LEGACY_REVISIONS, MODERN]
    assert version == "" or version not in refusal.message


@pytest.mark.parametrize("message", [ping(), NOTE], ids=["request", "notification"])
def test_two_version_headers_are_refused(message: Message) -> None:
    refused(message, RoutingHeaders(("2025-06-18", "2025-11-25")))


# The modern era


def test_a_modern_request_carries_its_revision_and_what_its_client_can_do() -> None:
    meta = {VERSION: MODERN, CAPABILITIES: {"extensions": {TASKS: {}}, "roots": {}}}
    protocol = classify(modern(meta=meta), headers(MODERN, "tools/list"))
    assert (protocol.revision, protocol.era) == (MODERN, Era.MODERN)
    assert protocol.declares(TASKS)
    assert not protocol.declares("com.example/other")


@pytest.mark.parametrize("message", [NOTE, Response()], ids=["notification", "response"])
def test_what_wants_no_answer_is_modern_by_its_header_alone(message: Message) -> None:
    assert classify(message, headers(MODERN)).era is Era.MODERN


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
def test_a_modern_request_without_its_meta_has_invalid_params(meta: object) -> None:
    """This is found before any difference to the headers."""
    assert refused(modern(meta=meta), headers(MODERN, "nonsense")).code == ErrorCode.INVALID_PARAMS


@pytest.mark.parametrize("version", ["2099-01-01", "2024-11-05", "2025-06-18x", "latest", "DRAFT-2026-v1", "1", ""])
@pytest.mark.parametrize(
    "meta",
    [None, {}, {"progressToken": 1}, {CAPABILITIES: {}}, {VERSION: 1, CAPABILITIES: {}}, {VERSION: "2099-01-01"}],
)
def test_an_unknown_version_header_is_answered_with_the_known_ones_whatever_the_meta(
    version: str, meta: object
) -> None:
    for method in ("ping", "tools/list", "tools/call", "server/discover"):
        refusal = refused(Request(1, method, {"_meta": meta}), headers(version, method))
        assert refusal.code == ErrorCode.UNSUPPORTED_PROTOCOL_VERSION
        assert refusal.data == {"supported": [*LEGACY_REVISIONS, MODERN], "requested": version}


def test_a_long_unknown_version_is_repeated_in_part_alone() -> None:
    long = "2099-01-01\x00" + "x" * 5000
    for refusal in (
        refused(ping(), headers(long)),
        refused(modern(meta=META | {VERSION: long}), headers(long, "tools/list")),
    ):
        assert refusal.code == ErrorCode.UNSUPPORTED_PROTOCOL_VERSION
        assert len(refusal.data["requested"]) <= 65
        assert refusal.data["requested"].isprintable()


def test_an_unknown_version_that_may_be_a_key_is_not_repeated() -> None:
    assert refused(ping(), headers("rf_live_1234567890")).data["requested"] == ""
    assert refused(ping(), headers("2099_01_01")).data["requested"] == "2099_01_01"


def test_a_modern_request_whose_header_is_right_is_told_of_its_meta() -> None:
    assert refused(ping(), headers(MODERN, "ping")).code == ErrorCode.INVALID_PARAMS


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
        (modern("prompts/get", name="a"), headers(MODERN, "prompts/get", "b")),
        (modern("tasks/get", taskId="a"), headers(MODERN, "tasks/get")),
        (modern(meta=META | {VERSION: "2099-01-01"}), headers(MODERN, "tools/list")),
    ],
)
def test_headers_that_differ_from_the_body_are_a_mismatch(request_: Request, sent: RoutingHeaders) -> None:
    assert refused(request_, sent).code == ErrorCode.HEADER_MISMATCH


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
def test_the_name_header_may_be_encoded(name: str, header: str) -> None:
    protocol = classify(modern("tools/call", name=name), headers(MODERN, "tools/call", header))
    assert protocol.revision == MODERN


@law
@given(st.text(max_size=30))
def test_every_name_can_be_sent_encoded(name: str) -> None:
    assert classify(modern("prompts/get", name=name), headers(MODERN, "prompts/get", encoded(name)))


def test_a_name_is_asked_for_only_where_the_body_has_one() -> None:
    assert classify(modern("tools/call"), headers(MODERN, "tools/call"))
    assert classify(modern("tools/call", name=5), headers(MODERN, "tools/call"))
    assert classify(modern("tools/list", name="x"), headers(MODERN, "tools/list"))


def test_a_version_that_nobody_speaks_is_refused_with_those_that_are_spoken() -> None:
    refusal = refused(modern(meta=META | {VERSION: "2099-01-01"}), headers("2099-01-01", "tools/list"))
    assert refusal.code == ErrorCode.UNSUPPORTED_PROTOCOL_VERSION
    assert refusal.data == {"supported": [*LEGACY_REVISIONS, MODERN], "requested": "2099-01-01"}


@pytest.mark.parametrize("legacy", LEGACY_REVISIONS)
def test_a_legacy_revision_cannot_be_spoken_the_modern_way(legacy: str) -> None:
    refusal = refused(modern(meta=META | {VERSION: legacy}), headers(legacy, "tools/list"))
    assert refusal.code == ErrorCode.UNSUPPORTED_PROTOCOL_VERSION
    assert refusal.data["requested"] == legacy


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
def test_everything_speaks_something_or_is_refused(message: Message | Batch, sent: RoutingHeaders) -> None:
    try:
        protocol = classify(message, sent)
    except ProtocolError as refusal:
        fault = refusal
    else:
        assert (protocol.era is Era.MODERN) == (protocol.revision == MODERN)
        assert not isinstance(message, Batch) or protocol.revision == "2025-03-26"
        return
    assert revisions.http_status(fault, Era.LEGACY) == 400
    assert fault.message.endswith(".")
    orjson.dumps(fault.data)


# What differs between the eras


@pytest.mark.parametrize("extensions", [None, [], "x", {}, {TASKS: None}, {TASKS: True}, {TASKS: []}])
def test_an_extension_is_declared_by_an_object_or_not_at_all(extensions: object) -> None:
    protocol = ProtocolContext(Revision.V2026_07_28, {"extensions": extensions})
    assert not protocol.declares(TASKS)
    with pytest.raises(ProtocolError) as caught:
        revisions.require_extension(protocol, TASKS)
    assert caught.value.code == ErrorCode.MISSING_REQUIRED_CLIENT_CAPABILITY
    assert caught.value.data == {"requiredCapabilities": {"extensions": {TASKS: {}}}}
    assert revisions.http_status(caught.value, Era.MODERN) == 400


def test_a_declared_extension_is_enough() -> None:
    revisions.require_extension(ProtocolContext(Revision.V2026_07_28, {"extensions": {TASKS: {"x": 1}}}), TASKS)


SERVER = {"name": "Runflow", "version": "1"}


@pytest.mark.parametrize("revision", LEGACY_REVISIONS)
def test_a_legacy_result_goes_out_as_it_is(revision: str) -> None:
    protocol = ProtocolContext(Revision(revision))
    result: dict[str, Any] = {"tools": []}
    assert revisions.finalize_result(revisions.with_cache_hints(result, protocol, 1000), protocol, SERVER) == {
        "tools": []
    }


def test_a_modern_result_is_typed_and_names_the_server() -> None:
    protocol = ProtocolContext(Revision.V2026_07_28)
    assert revisions.finalize_result({"a": 1, "_meta": {"x/y": 2}}, protocol, SERVER) == {
        "resultType": "complete",
        "a": 1,
        "_meta": {"io.modelcontextprotocol/serverInfo": SERVER, "x/y": 2},
    }
    assert revisions.finalize_result({"resultType": "task"}, protocol, SERVER)["resultType"] == "task"


def test_a_modern_list_says_how_long_and_by_whom_it_may_be_kept() -> None:
    result = revisions.with_cache_hints({"tools": []}, ProtocolContext(Revision.V2026_07_28), 5000)
    assert result == {"tools": [], "ttlMs": 5000, "cacheScope": "public"}


@pytest.mark.parametrize(
    ("code", "legacy", "modern_"),
    [
        (ErrorCode.PARSE_ERROR, 400, 400),
        (ErrorCode.INVALID_REQUEST, 400, 400),
        (ErrorCode.METHOD_NOT_FOUND, 200, 404),
        (ErrorCode.INVALID_PARAMS, 200, 200),
        (ErrorCode.INTERNAL_ERROR, 200, 200),
        (ErrorCode.HEADER_MISMATCH, 400, 400),
        (ErrorCode.MISSING_REQUIRED_CLIENT_CAPABILITY, 400, 400),
        (ErrorCode.UNSUPPORTED_PROTOCOL_VERSION, 400, 400),
    ],
)
def test_every_code_has_its_http_status(code: ErrorCode, legacy: int, modern_: int) -> None:
    fault = ProtocolError(code, "x")
    assert revisions.http_status(fault, Era.LEGACY) == legacy
    assert revisions.http_status(fault, Era.MODERN) == modern_


def test_a_whole_body_is_classified() -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}
    message = parse(orjson.dumps(body))
    assert classify(message, headers(MODERN, "tools/list")) == ProtocolContext(Revision.V2026_07_28, {})
