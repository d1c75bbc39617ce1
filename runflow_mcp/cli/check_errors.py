"""The cause and the fix of each failure that ``check`` can meet: connections, TLS, HTTP statuses, tool errors.

Writes texts only, in each of which the first sentence is the cause and the rest is the fix; ``check_client`` makes the
requests.
"""

import socket
import ssl
from collections.abc import Mapping
from http import HTTPStatus

import aiohttp
from yarl import URL

from runflow_mcp.json_types import JSON
from runflow_mcp.runflow.api.connection_errors import ProxyFailed

#: Seconds. The server sends a keepalive every 15, so a longer silence means that it does not answer.
CONNECT_TIMEOUT, SILENCE_TIMEOUT = 10.0, 45.0

#: Maximum number of lines printed of a tool error's details.
MAX_DETAILS = 20
#: OpenSSL's verification errors (openssl-verification-options(1)): code → cause and fix.
_UNKNOWN_CA = (
    "The TLS certificate is signed by a certificate authority that this machine does not know. If it is your "
    "company's own, put its certificate into a file and name that file in SSL_CERT_FILE."
)
_INCOMPLETE = (
    "The TLS certificate cannot be traced to a known certificate authority: the server sends no intermediate "
    "certificate, or the authority is private. Have the operator send the full chain, or name the authority's "
    "certificate file in SSL_CERT_FILE."
)
_OTHER_NAME = (
    "The TLS certificate is for another name than the one in the URL. Use a name in the certificate, "
    "or have the operator add this one."
)
_WEAK = "The TLS certificate is too weak for this machine: {reason}. Have the operator renew it."
_CERTIFICATE: Mapping[int, str] = {
    2: _INCOMPLETE,
    9: "The TLS certificate is not valid yet. Check the clock of this machine, or have the operator look at it.",
    10: "The TLS certificate has expired. Have the operator renew it (or check the clock of this machine).",
    18: "The TLS certificate is self-signed. If the server is yours, name the certificate's file in SSL_CERT_FILE; "
    "otherwise do not send a key there.",
    19: _UNKNOWN_CA,
    20: _INCOMPLETE,
    21: _INCOMPLETE,
    23: "The TLS certificate has been revoked. Have the operator renew it.",
    26: "The TLS certificate is not made for servers. Have the operator replace it.",
    62: _OTHER_NAME,
    64: _OTHER_NAME,
    66: _WEAK,
    67: _WEAK,
    68: _WEAK,
}
_OTHER_CERTIFICATE = "The TLS certificate is not accepted: {reason}. Have the operator look at it."
#: Reasons of ``ssl.SSLError`` when the server answers in plain text.
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST"})
_TLS: Mapping[str, str] = {
    "TLSV1_UNRECOGNIZED_NAME": "The server has no TLS certificate for this name. Correct the host name in the URL.",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "The server asks for a client certificate, which this command cannot send.",
    "TLSV1_ALERT_PROTOCOL_VERSION": "The server speaks only TLS versions that this machine refuses. Have the operator "
    "enable TLS 1.2 or newer.",
    "UNSUPPORTED_PROTOCOL": "The server speaks only TLS versions that this machine refuses. Have the operator "
    "enable TLS 1.2 or newer.",
}
_UNKNOWN_NAME = "The host name is not known. Correct it in the URL, or check this machine's DNS."
#: Errors below HTTP: the first matching class gives the cause and the fix.
_ERRORS: tuple[tuple[type[Exception], str], ...] = (
    (aiohttp.ClientConnectorDNSError, _UNKNOWN_NAME),
    (socket.gaierror, _UNKNOWN_NAME),
    (ConnectionRefusedError, "Connection refused. Start the server, or correct host and port in the URL."),
    (
        ConnectionResetError,
        "The connection broke. Write https:// if the server has TLS and http:// if not; otherwise look into its log.",
    ),
    (aiohttp.ClientConnectorError, "The host cannot be reached. Check the network on the way to it."),
    (
        aiohttp.ConnectionTimeoutError,
        f"No connection within {CONNECT_TIMEOUT:.0f} s. Check host and port, and firewalls on the way.",
    ),
    (
        TimeoutError,
        f"The server sent nothing for {SILENCE_TIMEOUT:.0f} s. Look into its log; proxies must not buffer streams.",
    ),
    (
        aiohttp.ClientResponseError,
        "The response is not HTTP. Write https:// if the server has TLS; otherwise correct the port.",
    ),
    (ValueError, "This URL cannot be used. Write it like https://mcp.example.com/mcp, without a user name."),
    (
        aiohttp.ClientError,
        "The connection broke. Write https:// if the server has TLS; otherwise look into its log.",
    ),
)
#: JSON-RPC errors of revision 2026-07-28: the body and the headers differ, or the revision is not supported.
_ABOUT_HEADERS = frozenset({-32020, -32022})
#: HTTP status → cause and fix, when the server itself sends no explanation.
_STATUS_FIXES: Mapping[int, str] = {
    400: "The request arrived malformed. Check the URL, and any proxy in front of the server.",
    401: "The key is not accepted. Check the key; a proxy in front may also require its own login.",
    403: "The request is forbidden. Check the URL, and any proxy in front of the server.",
    404: "There is nothing at this path. Correct the URL; the endpoint ends in /mcp.",
    405: "This path does not accept POST. Correct the URL; the endpoint ends in /mcp.",
    429: "There were too many requests.",
    502: "The proxy cannot reach the server. Start it, or correct its address in the proxy's configuration.",
    503: "No server is available behind the proxy. Start the server, or wait until it is ready.",
    504: "The proxy got no answer in time. Look into the server's log.",
}
#: For a failure that names no fix of its own.
LOOK_INTO_LOG = "Look into the server's log."
NOT_MCP = "No MCP server answers here. Correct the URL."
BUFFERED = (
    "Events arrive late: a proxy between here and the server buffers the stream. Turn its buffering and compression "
    "off for this path (nginx: proxy_buffering off; gzip off;)."
)
HEADERS_CHANGED = (
    "Have any proxy on the way pass the headers MCP-Protocol-Version, Mcp-Method and Mcp-Name on unchanged; without a "
    "proxy, upgrade the server."
)
_OTHER_STATUS = "This is not the response of an MCP server. Correct the URL, or look into the server's log."
_HEADER_REMOVED = (
    "The key was sent but did not reach the server: a proxy on the way removes the Authorization header. "
    "Configure it to pass the header on."
)


class StepError(Exception):
    """A step of ``check`` failed.

    ``text``: its first sentence is the cause, the rest the fix, unless ``fix`` is given. ``details``: further lines.
    ``code``: the code of the server's error, empty where there is none.
    """

    def __init__(self, text: str, *details: str, fix: str | None = None, code: str = "") -> None:
        super().__init__(text)
        head, stop, rest = text.partition(". ") if fix is None else (text, "", fix)
        self.cause = f"{head}{stop.strip()}"
        self.fix = rest.strip() or LOOK_INTO_LOG
        self.details = details
        self.code = code


def explain_error(error: Exception) -> str:
    """The cause and fix of an error below HTTP. aiohttp wraps the system's or OpenSSL's own error."""
    if isinstance(error, ProxyFailed):
        return _explain_proxy(error.status)
    inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", error)
    if isinstance(inner, ssl.SSLCertVerificationError):
        text = getattr(inner, "verify_message", None)
        reason = text if isinstance(text, str) else "no reason given"
        return _CERTIFICATE.get(getattr(inner, "verify_code", 0), _OTHER_CERTIFICATE).format(reason=reason)
    if isinstance(inner, ssl.SSLError) or isinstance(error, aiohttp.ClientSSLError):
        return _explain_tls(getattr(inner, "reason", None))
    return next(
        (text for kind, text in _ERRORS if isinstance(error, kind) or isinstance(inner, kind)),
        "The connection broke. Try again.",
    )


def _explain_proxy(status: int | None) -> str:
    if status is None:
        return "The proxy of HTTPS_PROXY or HTTP_PROXY cannot be reached. Correct it, or name the server in NO_PROXY."
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return (
            "The proxy requires a user name and a password, or refuses these. Write them into HTTPS_PROXY or "
            "HTTP_PROXY: http://user:password@host:port."
        )
    return f"The proxy refused the connection (HTTP {status}). Have it allow the server, or name that in NO_PROXY."


def _explain_tls(reason: str | None) -> str:
    if reason is None or reason in _NO_TLS:
        return "The server does not speak TLS there. Write http:// if it has no TLS; otherwise correct the port."
    if reason in _TLS:
        return _TLS[reason]
    words = reason.replace("_", " ").lower()
    return f"The TLS connection could not be made: {words}. Correct the host name, or have the operator look at it."


def status_error(status: int, headers: Mapping[str, str], body: JSON, url: URL) -> StepError:
    """The error for an HTTP status other than 200: the server's own sentences when it sent any."""
    code, fix = "", None
    match body:
        case {"error": {"data": {"code": "missing_authorization"}}}:
            text = f"HTTP {status} missing_authorization: {_HEADER_REMOVED}"
        case {"error": {"message": str(message), "data": {"code": str(code)}}}:
            text = f"HTTP {status} {code}: {as_sentence(message)}"
            if code == "host_rejected":
                text, _, _ = text.partition(". ")
                text = as_sentence(text)
                fix = (
                    f"In the server's settings write MCP_PUBLIC_URL={url.origin()}, or add {url.authority} to "
                    "MCP_ALLOWED_HOSTS, and restart it. A proxy in front must pass the Host header on unchanged."
                )
        case {"error": {"code": int(number), "message": str(message)}}:
            text = f"HTTP {status}, error {number}: {as_sentence(message)}"
            fix = HEADERS_CHANGED if number in _ABOUT_HEADERS else None
        case {"error_description": str(message)} if status == HTTPStatus.NOT_FOUND:
            text, _, _ = as_sentence(f"HTTP {status}: {message}").partition(". ")
            text, fix = as_sentence(text), f"The MCP endpoint is POST /mcp. Use the URL {url.origin()}/mcp."
        case {"error_description": str(message)}:
            text = f"HTTP {status}: {as_sentence(message)}"
        case _ if status // 100 == 3:  # noqa: PLR2004 - any redirect
            text = f"HTTP {status}: {_redirect(headers.get('Location'), url)}"
        case _:
            text = f"HTTP {status}: {_STATUS_FIXES.get(status, _OTHER_STATUS)}"
    wait = headers.get("Retry-After")
    return StepError(f"{text} Try again in {wait} s." if wait and wait.isdigit() else text, fix=fix, code=code)


def _redirect(location: str | None, url: URL) -> str:
    try:
        target = url.join(URL(location or ""))
    except ValueError:
        target = url
    if location is None or target == url:
        return "The server redirects, and names no other address. Correct the URL."
    if target.path.rstrip("/").rpartition("/")[2] == url.path.rstrip("/").rpartition("/")[2]:
        return f"The server moved. Use the URL {target}."
    return f"Redirected to {target}. If that is a login page, have the proxy let {url.path} through; else use that URL."


def as_sentence(text: str) -> str:
    """The text with a full stop, so that another sentence can follow."""
    return text if text.rstrip().endswith((".", "!", "?")) else f"{text.rstrip()}."


def error_details(result: JSON, details: JSON) -> list[str]:
    """The lines of a tool error besides its message and next action: wrong inputs, suggestions, the run."""
    details = details if isinstance(details, dict) else {}
    errors, suggestions = details.get("errors"), details.get("suggestions")
    lines = [line for error in (errors if isinstance(errors, list) else []) if (line := _wrong_input(error))]
    match result:
        case {"content": [{"text": str(text)}, *_]}:
            # The text repeats the errors as JSON, for models.
            rest = [line for line in text.splitlines()[2:] if not (lines and line.startswith("errors: "))]
        case _:
            rest = []
    if isinstance(suggestions, list) and suggestions and not any(str(suggestions[0]) in line for line in rest):
        lines.append(f"Did you mean: {', '.join(map(str, suggestions))}")
    return [*lines, *rest][:MAX_DETAILS]


def _wrong_input(error: JSON) -> str | None:
    """One of Runflow's errors: the input that it names, and what is wrong with it."""
    if not isinstance(error, dict):
        return error if isinstance(error, str) else None
    names = (error.get(member) for member in ("param", "field", "loc", "path", "pointer", "name"))
    name = next((name for name in names if name), None)
    texts = map(error.get, ("message", "msg", "detail"))
    text = next((text for text in texts if isinstance(text, str)), None)
    if isinstance(name, list):
        name = ".".join(map(str, name[1:] if name[0] == "body" else name))
    return f"{name}: {text}" if name and text else text
