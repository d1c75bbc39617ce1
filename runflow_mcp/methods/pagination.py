"""The cursor of the list methods: every list has one page, so no cursor is ever issued. Pure."""

from runflow_mcp.json_types import JSONObject
from runflow_mcp.protocol.jsonrpc import ErrorCode, ProtocolError


def reject_cursor(params: JSONObject) -> None:
    """Raises ``ProtocolError`` for a cursor; null and empty ones, which some clients send, count as absent."""
    if params.get("cursor") not in (None, ""):
        raise ProtocolError(
            ErrorCode.INVALID_PARAMS, "This cursor was not issued by this server: the list has one page. Omit cursor."
        )
