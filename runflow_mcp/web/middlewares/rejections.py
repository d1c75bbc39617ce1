"""Renders rejections, unknown paths, wrong methods and unexpected exceptions, and records their codes."""

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from runflow_mcp.clock import Clock
from runflow_mcp.errors import Rejection, RejectionCode
from runflow_mcp.observability.record import jsonrpc_outcome
from runflow_mcp.protocol.jsonrpc import ErrorCode
from runflow_mcp.settings.config import Config
from runflow_mcp.web.json_response import answer_json
from runflow_mcp.web.request_state import STATE
from runflow_mcp.web.responses import internal_error_response, oauth_style_error
from runflow_mcp.web.wellknown import challenge

log = structlog.get_logger(__name__)

_UNAUTHORIZED, _TOO_MANY_REQUESTS = 401, 429
#: Rejections after which the rest of the request body is not read: the connection is closed.
_CLOSING = frozenset({RejectionCode.BODY_TOO_LARGE, RejectionCode.BODY_TIMEOUT, RejectionCode.BAD_REQUEST})
#: Rejections of requests without a key, or over a limit: what a hostile caller gets most of.
_COUNTED = frozenset({_UNAUTHORIZED, _TOO_MANY_REQUESTS})
#: Turns of the event loop for which they wait. On a busy server other requests are answered in them, so that a caller
#: who sends again after every rejection takes less of it: of a quarter of the connections, a tenth of the throughput of
#: the others instead of a third. On an idle one they take 0.03 ms.
TURNS = 16
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
            if rejection.status in _COUNTED:
                await _let_others_go_first(state.parts.services.clock)
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


async def _let_others_go_first(clock: Clock) -> None:
    for _ in range(TURNS):
        await clock.sleep(0)


def _render(rejection: Rejection, request: web.Request, config: Config) -> web.StreamResponse:
    headers: dict[str, str] = {}
    if rejection.retry_after_seconds is not None:
        headers["Retry-After"] = str(rejection.retry_after_seconds)
    if rejection.status == _UNAUTHORIZED:
        headers["WWW-Authenticate"] = challenge(config, request)
    body = rejection.envelope(request[STATE].request_id)
    return answer_json(request, body, rejection.status, headers, close=rejection.code in _CLOSING)
