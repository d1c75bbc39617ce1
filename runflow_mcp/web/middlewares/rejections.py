"""Renders rejections, unknown paths, wrong methods and unexpected exceptions, and records their codes."""

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from runflow_mcp.errors import Rejection, RejectionCode
from runflow_mcp.observability.record import jsonrpc_outcome
from runflow_mcp.protocol.jsonrpc import ErrorCode
from runflow_mcp.settings.config import Config
from runflow_mcp.web.json_response import answer_json
from runflow_mcp.web.request_state import STATE
from runflow_mcp.web.responses import internal_error_response, oauth_style_error
from runflow_mcp.web.wellknown import challenge

log = structlog.get_logger(__name__)

_UNAUTHORIZED = 401
#: Rejections after which the rest of the request body is not read: the connection is closed.
_CLOSING = frozenset({RejectionCode.BODY_TOO_LARGE, RejectionCode.BODY_TIMEOUT, RejectionCode.BAD_REQUEST})
NOT_FOUND_HELP = (
    "There is nothing at this path. The MCP endpoint is POST /mcp. There is no OAuth flow and no client "
    "registration here: send your Runflow API key (it starts with rf_live_) as a bearer token, header "
    "Authorization: Bearer <key>."
)


def rejections(config: Config) -> Middleware:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        state = request[STATE]
        record = state.record
        try:
            return await handler(request)
        except Rejection as rejection:
            record.error_code = rejection.code.value
            return _render(rejection, request, config)
        except web.HTTPNotFound:
            record.error_code = "not_found"
            return oauth_style_error(404, record.error_code, NOT_FOUND_HELP)
        except web.HTTPMethodNotAllowed as error:
            record.error_code = "method_not_allowed"
            allow = ", ".join(sorted(error.allowed_methods))
            return oauth_style_error(405, record.error_code, f"This path takes {allow}.", allow=allow)
        except web.HTTPException as error:
            record.error_code = "bad_request"
            return oauth_style_error(error.status, record.error_code, error.reason)
        except ConnectionError:
            raise  # the client has gone
        except Exception:
            log.exception("request_failed", request_id=state.request_id)
            record.error_code = jsonrpc_outcome(ErrorCode.INTERNAL_ERROR)
            return internal_error_response(state.request_id)

    return middleware


def _render(rejection: Rejection, request: web.Request, config: Config) -> web.StreamResponse:
    headers: dict[str, str] = {}
    if rejection.retry_after_seconds is not None:
        headers["Retry-After"] = str(rejection.retry_after_seconds)
    if rejection.status == _UNAUTHORIZED:
        headers["WWW-Authenticate"] = challenge(config, request)
    body = rejection.envelope(request[STATE].request_id)
    return answer_json(request, body, rejection.status, headers, close=rejection.code in _CLOSING)
