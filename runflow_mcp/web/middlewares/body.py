"""Checks the body of a POST by its headers, before any of it is read."""

from aiohttp import web

from runflow_mcp.errors import Rejection, RejectionCode
from runflow_mcp.settings.config import Config
from runflow_mcp.web.body import too_large
from runflow_mcp.web.middlewares.checks import Check
from runflow_mcp.web.request_state import RequestState

_JSON = "application/json"
#: Content codings that change nothing (RFC 9110, 12.5.3).
_UNENCODED = frozenset({"", "identity"})


def body_check(config: Config) -> Check:
    cap = config.max_body_bytes

    def check(request: web.Request, state: RequestState) -> None:
        if request.method != "POST" or not state.guards.json_body:
            return
        headers = request.headers
        types = headers.getall("Content-Type", ())
        # A missing Content-Type passes: a form or text post from a foreign page always has one.
        if len(types) > 1 or (types and types[0] != _JSON and request.content_type != _JSON):
            raise Rejection(
                RejectionCode.UNSUPPORTED_MEDIA_TYPE,
                "Send the JSON-RPC message with Content-Type: application/json.",
            )
        if "Content-Encoding" in headers and not _is_unencoded(headers.getall("Content-Encoding")):
            raise Rejection(
                RejectionCode.UNSUPPORTED_MEDIA_TYPE,
                "Send the body uncompressed, without Content-Encoding.",
            )
        if (request.content_length or 0) > cap:
            raise too_large(cap)

    return check


def _is_unencoded(values: list[str]) -> bool:
    return all(coding.strip().lower() in _UNENCODED for coding in ",".join(values).split(","))
