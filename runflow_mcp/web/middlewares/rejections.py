"""Refusals into answers: the only place that renders a ``Rejection``, an unknown path or a wrong method."""

import orjson
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from runflow_mcp.errors import Rejection, RejectionCode
from runflow_mcp.protocol.jsonrpc import ErrorCode, ProtocolError, render_error
from runflow_mcp.settings.config import Config
from runflow_mcp.web.app_keys import REQUEST_ID
from runflow_mcp.web.wellknown import challenge

log = structlog.get_logger(__name__)

_UNAUTHORIZED = 401
#: Refusals after which the rest of the request body is not wanted: the connection is closed.
_CLOSING = frozenset({RejectionCode.BODY_TOO_LARGE, RejectionCode.BODY_TIMEOUT, RejectionCode.BAD_REQUEST})
NOT_FOUND_HELP = (
    "There is nothing at this path. The MCP endpoint is POST /mcp. There is no OAuth flow and no client "
    "registration here: send your Runflow API key (it starts with rf_live_) as a bearer token, header "
    "Authorization: Bearer <key>."
)


def rejections(config: Config) -> Middleware:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Rejection as rejection:
            return _rejected(rejection, request, config)
        except web.HTTPNotFound:
            return oauth_style_error(404, "not_found", NOT_FOUND_HELP)
        except web.HTTPMethodNotAllowed as refusal:
            allowed = ", ".join(sorted(refusal.allowed_methods))
            response = oauth_style_error(405, "method_not_allowed", f"This path takes {allowed}.")
            response.headers["Allow"] = allowed
            return response
        except web.HTTPException as refusal:
            return oauth_style_error(refusal.status, "bad_request", refusal.reason)
        except ConnectionError:
            raise  # the client has gone; there is nobody to answer
        except Exception:
            log.exception("request_failed", request_id=request[REQUEST_ID])
            message = f"An internal error happened here; the operator's log has it under {request[REQUEST_ID]}."
            body = render_error(None, ProtocolError(ErrorCode.INTERNAL_ERROR, message))
            return web.Response(status=500, body=body, content_type="application/json")

    return middleware


def _rejected(rejection: Rejection, request: web.Request, config: Config) -> web.Response:
    response = web.Response(
        status=rejection.status,
        body=rejection.envelope(request[REQUEST_ID]),
        content_type="application/json",
    )
    if rejection.status == _UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = challenge(config, request)
    if rejection.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(rejection.retry_after_seconds)
    if rejection.code in _CLOSING:
        response.force_close()
    return response


def oauth_style_error(status: int, error: str, description: str) -> web.Response:
    """An error outside JSON-RPC, in the shape that OAuth clients show to people."""
    body = orjson.dumps({"error": error, "error_description": description})
    return web.Response(status=status, body=body, content_type="application/json")
