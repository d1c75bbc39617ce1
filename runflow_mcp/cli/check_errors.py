"""What may go wrong between ``check`` and a server, and its fix: connections, TLS, HTTP statuses."""

import ssl
from collections.abc import Mapping

import aiohttp

from runflow_mcp.json_types import JSON

#: Seconds: the server breaks silences every 15, so a longer one means that nobody is there.
CONNECT_TIMEOUT, SILENCE_TIMEOUT = 10.0, 45.0

#: OpenSSL's verification errors (openssl-verification-options(1)): code → what is wrong, and its fix.
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
    "The TLS certificate is valid but for another name than the one in the URL. Use the name in the certificate, "
    "or have the operator add this one."
)
_WEAK = "The TLS certificate is too weak for this machine: {said}. Have the operator renew it."
_CERTIFICATE: Mapping[int, str] = {
    2: _INCOMPLETE,
    9: "The TLS certificate is not valid yet. Check the clock of this machine, or have the operator look at it.",
    10: "The TLS certificate has expired. Have the operator renew it (or check the clock of this machine).",
    18: "The TLS certificate is self-signed. If the server is yours, name the certificate's file in SSL_CERT_FILE; "
    "else do not send a key there.",
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
_OTHER_CERTIFICATE = "The TLS certificate is not accepted: {said}. Have the operator look at it."
#: Reasons of ``ssl.SSLError`` that an answer in plain text causes.
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST"})
_TLS: Mapping[str, str] = {
    "TLSV1_UNRECOGNIZED_NAME": "The server has no TLS certificate for this name. Correct the host name in the URL.",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "The server asks for a client certificate, which this command cannot send.",
    "TLSV1_ALERT_PROTOCOL_VERSION": "The server speaks only TLS versions that this machine refuses. Have the operator "
    "enable TLS 1.2 or newer.",
    "UNSUPPORTED_PROTOCOL": "The server speaks only TLS versions that this machine refuses. Have the operator "
    "enable TLS 1.2 or newer.",
}
#: What went wrong below HTTP, and its fix; the first class that fits counts.
_ERRORS: tuple[tuple[type[Exception], str], ...] = (
    (
        aiohttp.ClientConnectorDNSError,
        "The host name is not known. Correct it in the URL, or check this machine's DNS.",
    ),
    (ConnectionRefusedError, "Connection refused. Start the server, or correct host and port in the URL."),
    (
        ConnectionResetError,
        "The connection broke. Write https:// if the server has TLS and http:// if not, else look into its log.",
    ),
    (aiohttp.ClientConnectorError, "The host cannot be reached. Check the network between here and there."),
    (
        aiohttp.ConnectionTimeoutError,
        f"No connection within {CONNECT_TIMEOUT:.0f} s. Check host and port, and firewalls on the way.",
    ),
    (
        TimeoutError,
        f"Nothing came for {SILENCE_TIMEOUT:.0f} s. Look into the server's log; proxies must not buffer streams.",
    ),
    (
        aiohttp.ClientResponseError,
        "The response is not HTTP. Write https:// if the server has TLS, else correct the port.",
    ),
    (ValueError, "This URL cannot be used. Write it like https://mcp.example.com/mcp, without user name."),
    (
        aiohttp.ClientError,
        "The connection broke. Write https:// if the server has TLS, else look into its log.",
    ),
)
#: What to do about an HTTP status that came without a sentence of the server's own.
_STATUS_FIXES: Mapping[int, str] = {
    400: "Something on the way spoils the request. Check the URL, and any proxy in front of the server.",
    401: "The key is not accepted. Check the key; a proxy in front may also want a login of its own.",
    403: "Something on the way forbids this. Check the URL, and any proxy in front of the server.",
    404: "There is nothing at this path. Correct the URL; the endpoint ends in /mcp.",
    405: "This path takes no POST. Correct the URL; the endpoint ends in /mcp.",
    429: "There were too many requests.",
    502: "The proxy reaches no server. Start the server, or correct the address that the proxy has of it.",
    503: "The proxy has no server to ask. Start the server, or wait until it is ready.",
    504: "The proxy got no answer in time. Look into the log of the server.",
}
_OTHER_STATUS = "This is not the response of an MCP server. Correct the URL, or look into the log of the server."
_STRIPPED = (
    "The key was sent, but it did not reach the server: something between here and there removes the Authorization "
    "header. Have each proxy on the way pass it on."
)


def explain(error: Exception) -> str:
    """A fault below HTTP, and its fix. aiohttp wraps what the system or OpenSSL said of a connection."""
    inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", error)
    if isinstance(inner, ssl.SSLCertVerificationError):
        said = inner.verify_message if isinstance(getattr(inner, "verify_message", None), str) else "no reason given"
        return _CERTIFICATE.get(getattr(inner, "verify_code", 0), _OTHER_CERTIFICATE).format(said=said)
    if isinstance(inner, ssl.SSLError) or isinstance(error, aiohttp.ClientSSLError):
        return _explain_tls(getattr(inner, "reason", None))
    return next(
        (text for kind, text in _ERRORS if isinstance(error, kind) or isinstance(inner, kind)),
        "The connection broke. Try again.",
    )


def _explain_tls(reason: str | None) -> str:
    if reason is None or reason in _NO_TLS:
        return "The server does not speak TLS there. Write http:// if it has no TLS, else correct the port."
    if reason in _TLS:
        return _TLS[reason]
    words = reason.replace("_", " ").lower()
    return f"The TLS connection could not be made: {words}. Correct the host name, or have the operator look at it."


def refusal(status: int, headers: Mapping[str, str], body: JSON) -> str:
    """An HTTP status other than 200, and its fix: the server's own sentence where it sent one."""
    match body:
        case {"error": {"data": {"code": "missing_authorization"}}}:
            text = f"HTTP {status} missing_authorization: {_STRIPPED}"
        case {"error": {"message": str(said), "data": {"code": str(code)}}}:
            text = f"HTTP {status} {code}: {sentence(said)}"
        case {"error": {"code": int(code), "message": str(said)}}:
            text = f"HTTP {status}, error {code}: {sentence(said)}"
        case {"error_description": str(said)}:
            text = f"HTTP {status}: {sentence(said)}"
        case _ if status // 100 == 3:  # noqa: PLR2004 - any redirect
            text = f"HTTP {status}: The server moved. Use the URL {headers.get('Location', 'that it moved to')}."
        case _:
            text = f"HTTP {status}: {_STATUS_FIXES.get(status, _OTHER_STATUS)}"
    wait = headers.get("Retry-After")
    return f"{text} Try again in {wait} s." if wait and wait.isdigit() else text


def sentence(text: str) -> str:
    """The text with an end, so that a fix can follow."""
    return text if text.rstrip().endswith((".", "!", "?")) else f"{text.rstrip()}."
