"""The wire shapes of rejections and tool errors, member by member, and the next action of every code."""

import orjson
import pytest

from runflow_mcp.errors import (
    HTTP_STATUS,
    NEXT_ACTION,
    OTHER_NEXT_ACTION,
    Rejection,
    RejectionCode,
    ToolError,
    ToolErrorCode,
)
from tests.test_contract import REJECTIONS


@pytest.mark.parametrize("code", RejectionCode)
def test_a_rejection_is_a_json_rpc_error_with_a_null_id(code: RejectionCode) -> None:
    rejection = Rejection(code, "What is wrong. What to do.")
    assert rejection.status == REJECTIONS[code]
    assert orjson.loads(rejection.envelope("req-1")) == {
        "jsonrpc": "2.0",
        "id": None,
        "error": {
            "code": REJECTIONS[code],
            "message": "What is wrong. What to do.",
            "data": {"code": code.value, "request_id": "req-1"},
        },
    }


@pytest.mark.parametrize("seconds", [0, 12])
def test_a_temporary_rejection_has_retry_after_seconds(seconds: int) -> None:
    rejection = Rejection(RejectionCode.RATE_LIMITED, "Too many.", retry_after_seconds=seconds)
    data = orjson.loads(rejection.envelope("req-1"))["error"]["data"]
    assert data == {"code": "rate_limited", "retry_after_seconds": seconds, "request_id": "req-1"}


def test_a_rejection_code_is_outside_the_range_of_json_rpc() -> None:
    assert all(not -32768 <= status <= -32000 for status in HTTP_STATUS.values())


@pytest.mark.parametrize("code", [*ToolErrorCode, *NEXT_ACTION])
def test_every_code_says_in_one_sentence_what_to_do_next(code: str) -> None:
    action = NEXT_ACTION[code]
    assert action == ToolError(code, "x").next_action
    assert action[0].isupper()
    assert action.endswith(".")
    assert ". " not in action
    assert "\n" not in action


def test_an_unknown_upstream_code_has_a_next_action_too() -> None:
    assert ToolError("something_new", "x").next_action == OTHER_NEXT_ACTION
    assert OTHER_NEXT_ACTION.count(".") == 1


def test_the_text_and_the_structured_part_of_a_tool_error_are_each_complete() -> None:
    error = ToolError(
        ToolErrorCode.RUN_FAILED,
        "The run failed: nsfw",
        details={"run_id": "r1", "failure_code": "nsfw"},
        hints=("run_id: r1", "client_ref: c1"),
    )
    action = NEXT_ACTION["run_failed"]
    assert orjson.loads(orjson.dumps(error.result("req-1"))) == {
        "isError": True,
        "structuredContent": {
            "error": {
                "code": "run_failed",
                "message": "The run failed: nsfw",
                "upstream_status": None,
                "next_action": action,
                "details": {"run_id": "r1", "failure_code": "nsfw", "request_id": "req-1"},
            }
        },
        "content": [
            {"type": "text", "text": f"[run_failed] The run failed: nsfw\n{action}\nrun_id: r1\nclient_ref: c1"}
        ],
    }


def test_a_tool_error_carries_the_upstream_status() -> None:
    error = ToolError("permission_denied", "No.", 403).result("req-1")["structuredContent"]["error"]
    assert error["upstream_status"] == 403
    assert error["details"] == {"request_id": "req-1"}


def test_rendering_an_error_leaves_it_as_it_was() -> None:
    error = ToolError(ToolErrorCode.GENERATE_FAILED, "x")
    assert error.result("one") != error.result("two")
    assert error.details == {}
