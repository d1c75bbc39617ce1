"""The bearer check. ``rate_limit`` rejects a request without an acceptable API key, before its body is read."""

from aiohttp import web

from runflow_mcp.credentials import KeySource, parse_authorization
from runflow_mcp.errors import Rejection
from runflow_mcp.settings.config import Config
from runflow_mcp.web.connection import Connection
from runflow_mcp.web.middlewares.checks import Check
from runflow_mcp.web.request_state import RequestState


def bearer_check(config: Config) -> Check:
    prefixes = config.accepted_key_prefixes

    def check(request: web.Request, state: RequestState) -> None:
        if not state.guards.bearer:
            return
        authorization = request.headers.getall("Authorization", ())
        connection = request.protocol
        if not isinstance(connection, Connection):
            raise TypeError("the server does not use this package's Runner")
        last = connection.last_bearer
        if last is not None and authorization == connection.last_authorization:
            if last.source.address != state.address or last.source.rejected:
                last = connection.last_bearer = last.used_by(KeySource(state.address))
            state.bearer = last
            return
        try:
            state.bearer = parse_authorization(authorization, prefixes, state.address)
        except Rejection as rejection:
            state.bearer_rejection = rejection
            return
        connection.last_authorization, connection.last_bearer = authorization, state.bearer

    return check
