"""Helpers that check the shape of a tool error and return it."""

from typing import Any

from runflow_mcp.errors import NEXT_ACTION, OTHER_NEXT_ACTION, REFUSED_NEXT_ACTION
from tests.serving import Answer


def tool_error_of(
    answer: Answer, code: str, *, upstream_status: int | None = None, refused_without_code: bool = False
) -> Any:
    """The error of an answer, once its members and its text have been checked."""
    error = answer.tool_error
    assert answer.status == 200
    assert set(answer.structured) == {"error"}
    assert set(error) == {"code", "message", "upstream_status", "next_action", "details"}
    assert error["code"] == code
    assert error["upstream_status"] == upstream_status
    action = REFUSED_NEXT_ACTION if refused_without_code else NEXT_ACTION.get(code, OTHER_NEXT_ACTION)
    assert error["next_action"] == action
    assert error["details"]["request_id"] == answer.headers["X-Request-Id"]
    [content] = answer.result["content"]
    assert content["type"] == "text"
    first, following, *_ = content["text"].split("\n")
    assert first == f"[{code}] {error['message']}"
    assert following == error["next_action"]
    return error


def run_error_of(answer: Answer, code: str, *, upstream_status: int | None = None) -> Any:
    """The error of a ``generate`` that had a run, once checked: it names the run and leaves out its large members."""
    error = tool_error_of(answer, code, upstream_status=upstream_status)
    text, details = answer.result["content"][0]["text"], error["details"]
    assert details["run"]["id"] == details["run_id"]
    assert not {"input", "logs", "node_runs"} & set(details["run"])
    assert details["run_id"] in text
    assert details["client_ref"] in text
    return error
