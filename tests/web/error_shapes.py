"""The shape that every rejection and every protocol error without an id must have."""

from typing import Any

from runflow_mcp.errors import HTTP_STATUS, RejectionCode
from tests.serving import Answer


def rejection_of(answer: Answer, code: str) -> Any:
    """The error of a rejection, after every part of its envelope and its headers has been checked."""
    status = HTTP_STATUS[RejectionCode(code)]
    assert answer.status == status
    assert answer.headers["Content-Type"].startswith("application/json")
    assert list(answer.json) == ["jsonrpc", "id", "error"]
    assert answer.json["jsonrpc"] == "2.0"
    assert answer.json["id"] is None
    error = answer.json["error"]
    assert set(error) == {"code", "message", "data"}
    assert error["code"] == status
    assert error["data"]["code"] == code
    assert error["data"]["request_id"] == answer.headers["X-Request-Id"]
    assert len(error["message"]) > 20
    assert error["message"].endswith((".", "<key>"))
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)
    assert ("Retry-After" in answer.headers) == (status == 429)
    return error


def protocol_error_of(answer: Answer, code: int, *, status: int) -> Any:
    """The JSON-RPC error of an answer to a message whose id is unknown."""
    assert answer.status == status
    assert answer.headers["Content-Type"].startswith("application/json")
    assert set(answer.json) == {"jsonrpc", "error"}
    assert answer.json["error"]["code"] == code
    assert answer.json["error"]["message"]
    return answer.json["error"]
