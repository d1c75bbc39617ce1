"""The small MCP client of ``runflow-mcp check``: one connection test, and JSON-RPC over HTTP in both eras.

Speaks HTTP from outside, as any client does; must not import what serves. Every failure is a ``StepError``.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable

import aiohttp
import attrs
import orjson
from yarl import URL

from runflow_mcp import __version__
from runflow_mcp.cli.check_errors import (
    CONNECT_TIMEOUT,
    HEADERS_CHANGED,
    LOOK_INTO_LOG,
    NOT_MCP,
    SILENCE_TIMEOUT,
    StepError,
    as_sentence,
    explain_error,
    status_error,
)
from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.protocol.jsonrpc import ErrorCode
from runflow_mcp.protocol.meta import META_CAPABILITIES, META_CLIENT_INFO, META_VERSION
from runflow_mcp.protocol.revisions import LATEST_LEGACY, MODERN_REVISIONS, Era
from runflow_mcp.runflow.api.transport import proxy_middleware
from runflow_mcp.settings.egress import Egress

#: aiohttp reads lines of up to twice this size: a result with its output is one line of an event stream.
READ_BUFFER = 8 * 1024 * 1024
OK, ACCEPTED = 200, 202
LATEST = MODERN_REVISIONS[-1]
CLIENT_INFO: JSONObject = {"name": "runflow-mcp check", "version": __version__}

#: Called with each notification of a stream; False ends the reading.
OnNotification = Callable[[JSONObject], bool]


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """The system's certificate authorities and those of ``ca_file``. Raises ``StepError``."""
    context = ssl.create_default_context()
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError):
            fix = "Name a file of certificates (PEM), or unset SSL_CERT_FILE."
            raise StepError(f"SSL_CERT_FILE={ca_file} cannot be read.", fix=fix) from None
    return context


def open_session(tls: ssl.SSLContext, egress: Egress) -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT, sock_read=SILENCE_TIMEOUT)
    connector = aiohttp.TCPConnector(ssl=tls)
    middlewares = (proxy_middleware(egress),) if egress.has_proxy else ()
    return aiohttp.ClientSession(
        connector=connector, timeout=timeout, read_bufsize=READ_BUFFER, middlewares=middlewares
    )


@attrs.frozen
class Connection:
    """What was reached: the server, or the proxy on the way. ``tls``: the version of TLS, None without."""

    address: str
    port: int
    tls: str | None


async def connect(url: URL, tls: ssl.SSLContext) -> Connection:
    """Connect to the URL's host and close again; the first of its addresses that answers. Raises ``StepError``."""
    host, port = url.host or "", url.port or 0
    failed: Exception = OSError("no address")
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            for *_, (address, *_) in found:
                try:
                    return await _connect(str(address), port, host, tls if url.scheme == "https" else None)
                except OSError as error:
                    failed = error
    except TimeoutError:
        failed = aiohttp.ConnectionTimeoutError()
    except (OSError, ValueError) as error:
        failed = error
    raise StepError(explain_error(failed))


async def _connect(address: str, port: int, host: str, tls: ssl.SSLContext | None) -> Connection:
    _, writer = await asyncio.open_connection(address, port, ssl=tls, server_hostname=host if tls else None)
    session: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
    writer.transport.abort()  # a server without care for TLS's farewell would make this take half a minute
    return Connection(address, port, session.version() if session else None)


@attrs.frozen
class Client:
    """JSON-RPC requests with the caller's key; each returns the result, or raises ``StepError``."""

    session: aiohttp.ClientSession
    url: URL
    key: str = attrs.field(repr=False)

    async def request(
        self,
        method: str,
        params: JSONObject | None = None,
        *,
        era: Era = Era.LEGACY,
        on_notification: OnNotification = lambda _message: True,
    ) -> JSON:
        """The result; None when ``on_notification`` ended the reading."""
        body: dict[str, JSON] = {**(params or {})}
        if era is Era.MODERN:
            body["_meta"] = {META_VERSION: LATEST, META_CAPABILITIES: {}, META_CLIENT_INFO: CLIENT_INFO}
        message = await self._post(
            {"jsonrpc": "2.0", "id": method, "method": method, "params": body}, era, on_notification
        )
        match message:
            case {"result": result}:
                return result
            case {"error": {"code": int(number), "message": str(text), **error}}:
                raise _rpc_error(number, text, error.get("data"), era)
            case None:
                return None
        raise StepError(NOT_MCP)

    async def notify(self, method: str) -> None:
        """Send a notification."""
        await self._post({"jsonrpc": "2.0", "method": method}, Era.LEGACY, lambda _message: True)

    async def _post(self, message: JSONObject, era: Era, on_notification: OnNotification) -> JSON:
        method = str(message["method"])
        headers = {
            "Authorization": f"Bearer {self.key}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        }
        if era is Era.MODERN:
            headers |= {"MCP-Protocol-Version": LATEST, "Mcp-Method": method}
        elif method != "initialize":
            headers["MCP-Protocol-Version"] = LATEST_LEGACY
        try:
            # Redirects are not followed: the key would go wherever they point.
            async with self.session.post(
                self.url, data=orjson.dumps(message), headers=headers, allow_redirects=False
            ) as response:
                return await self._read_message(response, on_notification)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise StepError(explain_error(error)) from error

    async def _read_message(self, response: aiohttp.ClientResponse, on_notification: OnNotification) -> JSON:
        if response.status == OK and response.content_type == "text/event-stream":
            try:
                message = await _read_stream(response, on_notification)
            except asyncio.CancelledError:
                _abort(response)
                raise
            if message is None:
                _abort(response)
            return message
        body = await response.read()
        if response.status == ACCEPTED:
            return None
        message = _parse_json(body)
        if response.status != OK:
            raise status_error(response.status, response.headers, message, self.url)
        if message is None:
            page = "A web page" if body.lstrip().startswith(b"<") else "A response that is not JSON"
            raise StepError(f"{page} came back. Another server or a proxy answers at this URL; correct the URL.")
        return message


def _abort(response: aiohttp.ClientResponse) -> None:
    """End a stream that is not read to its end: nginx does not notice TLS's farewell, and would keep it open."""
    if response.connection is not None and response.connection.transport is not None:
        response.connection.transport.abort()


async def _read_stream(response: aiohttp.ClientResponse, on_notification: OnNotification) -> JSON:
    """The JSON-RPC response that ends the stream; None when ``on_notification`` ended the reading."""
    async for line in response.content:
        field, _, value = line.partition(b":")
        message = _parse_json(value) if field == b"data" else None
        match message:
            case {"id": _}:
                return message
            case dict(notification) if "method" in notification and not on_notification(notification):
                return None
    raise StepError("The stream ended without an answer. A proxy cuts long streams, or the server stopped.")


def _rpc_error(number: int, text: str, data: JSON, era: Era) -> StepError:
    named = data.get("code") if isinstance(data, dict) else None
    text = f"Error {number}{f' {named}' if named else ''}: {as_sentence(text)}"
    code = str(named or f"jsonrpc_{number}")
    if era is Era.MODERN:
        return StepError(text, fix=HEADERS_CHANGED, code=code)
    if number == ErrorCode.INTERNAL_ERROR:
        return StepError(text, fix=None if named else LOOK_INTO_LOG, code=code)
    return StepError(text, fix="Check that this is the URL of a Runflow MCP server.", code=code)


def _parse_json(body: bytes) -> JSON:
    """The JSON in a body; None when it is not JSON."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
