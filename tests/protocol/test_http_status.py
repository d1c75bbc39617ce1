"""The HTTP status of each JSON-RPC error."""

import pytest

from runflow_mcp.protocol.http_status import HTTP_STATUS, http_status
from runflow_mcp.protocol.jsonrpc import ErrorCode
from runflow_mcp.protocol.revisions import ProtocolContext, Revision


def test_every_code_has_a_status() -> None:
    assert set(HTTP_STATUS) == set(ErrorCode)


@pytest.mark.parametrize(
    ("code", "legacy", "modern"),
    [
        (ErrorCode.PARSE_ERROR, 400, 400),
        (ErrorCode.INVALID_REQUEST, 400, 400),
        (ErrorCode.METHOD_NOT_FOUND, 200, 404),
        (ErrorCode.INVALID_PARAMS, 200, 200),
        (ErrorCode.INTERNAL_ERROR, 200, 200),
        (ErrorCode.RESOURCE_NOT_FOUND, 200, 200),
        (ErrorCode.HEADER_MISMATCH, 400, 400),
        (ErrorCode.MISSING_REQUIRED_CLIENT_CAPABILITY, 400, 400),
        (ErrorCode.UNSUPPORTED_PROTOCOL_VERSION, 400, 400),
        (ErrorCode.TOO_MANY_REQUESTS, 429, 429),
    ],
)
def test_the_status_of_an_error_depends_on_its_code_and_its_revision(code: ErrorCode, legacy: int, modern: int) -> None:
    assert http_status(code) == http_status(code, ProtocolContext(Revision.V2025_11_25)) == legacy
    assert http_status(code, ProtocolContext(Revision.V2026_07_28)) == modern
