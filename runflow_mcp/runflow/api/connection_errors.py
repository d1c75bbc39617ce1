"""What an exception of aiohttp's or of the system means: one sentence for the caller, one token for the log.

Knows nothing of requests. No sentence contains an address or the system's own text, since callers see it.
"""

import errno
import ssl
import zlib

import aiohttp
import attrs

#: OpenSSL's verification errors (X509_V_ERR_…).
_NOT_YET_VALID, _EXPIRED = 9, 10
_SELF_SIGNED = 18
_OTHER_NAME = frozenset({62, 64})  # host name, IP address
#: Reasons of an SSLError which mean that the peer does not speak TLS.
_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE"})
_UNKNOWN_CA = (
    "the TLS certificate of Runflow comes from an authority that this server does not trust "
    "(SSL_CERT_FILE can name a private one)"
)
_NO_ROUTE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN})
PROXY_AUTHENTICATION_REQUIRED = 407


class ProxyFailed(aiohttp.ClientError):
    """The proxy was not reached, or did not forward the request. ``status``: the proxy's answer, if any."""

    def __init__(self, status: int | None = None) -> None:
        super().__init__("the proxy failed")
        self.status = status


@attrs.frozen
class Problem:
    """``kind``: a token for logs. ``sent``: whether the request may have reached Runflow."""

    kind: str
    reason: str
    sent: bool


def problem_of(error: Exception) -> Problem:
    """What an exception raised while a request was made means."""
    if (unsent := _proxy_problem(error)) or (unsent := _connect_problem(error)):
        return Problem(*unsent, sent=False)
    return Problem(*_exchange_problem(error), sent=True)


def _proxy_problem(error: Exception) -> tuple[str, str] | None:
    if isinstance(error, ProxyFailed):
        if error.status is None:
            return "proxy_unreachable", "the proxy of this server (HTTPS_PROXY or HTTP_PROXY) could not be reached"
        if error.status == PROXY_AUTHENTICATION_REQUIRED:
            return (
                "proxy_authentication",
                "the proxy requires a user name and password, or refused those of this server (HTTP 407)",
            )
        return "proxy_refused", f"the proxy refused to connect to Runflow (HTTP {error.status})"
    return None


def _connect_problem(error: Exception) -> tuple[str, str] | None:
    """Why a connection was not made; None if it was."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "connect_timeout", "the connection to Runflow timed out before it was made"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "dns", "the host name of Runflow could not be resolved"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return _certificate_problem(error.certificate_error)
    if isinstance(error, aiohttp.ClientConnectorError):
        return _socket_problem(error.os_error)
    return None


def _certificate_problem(error: BaseException) -> tuple[str, str]:
    code = error.verify_code if isinstance(error, ssl.SSLCertVerificationError) else None
    if code == _EXPIRED:
        return "tls_expired", "the TLS certificate of Runflow has expired"
    if code == _NOT_YET_VALID:
        return "tls_not_yet_valid", "the TLS certificate of Runflow is not valid yet (is this server's clock right?)"
    if code in _OTHER_NAME:
        return "tls_name_mismatch", "the TLS certificate of Runflow was issued for another host name"
    if code == _SELF_SIGNED:
        return "tls_self_signed", "the TLS certificate of Runflow is self-signed (SSL_CERT_FILE can name it as trusted)"
    return "tls_unknown_ca", _UNKNOWN_CA


def _socket_problem(error: OSError) -> tuple[str, str]:
    if isinstance(error, ssl.SSLError):
        if error.reason in _NOT_TLS:
            return "tls_not_spoken", "the address of Runflow does not speak TLS"
        return "tls_handshake", "the TLS handshake with Runflow failed"
    if isinstance(error, ConnectionRefusedError):
        return "connection_refused", "the connection to Runflow was refused"
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return "connection_closed", "the connection to Runflow was closed before it was ready"
    if error.errno in _NO_ROUTE:
        return "no_route", "the network has no route to Runflow"
    return "no_connection", "no connection to Runflow could be made"


def _exchange_problem(error: Exception) -> tuple[str, str]:
    """Why a request that may have been sent brought no answer."""
    if isinstance(error, TimeoutError):
        return "read_timeout", "Runflow did not answer in time"
    if isinstance(error, aiohttp.TooManyRedirects):
        return "redirects", "Runflow redirected too often"
    if isinstance(error, aiohttp.RedirectClientError | aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        return "redirects", "Runflow redirected to an address that cannot be used"
    if isinstance(error, aiohttp.ClientPayloadError | zlib.error):
        return "cut_short", "the answer of Runflow was cut short or garbled"
    if isinstance(error, aiohttp.ClientResponseError):
        return "not_http", "the answer of Runflow was not HTTP"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "connection_closed", "Runflow closed the connection without an answer"
    if isinstance(error, ConnectionResetError) or (isinstance(error, OSError) and error.errno == errno.ECONNRESET):
        return "connection_reset", "Runflow reset the connection"
    return "connection_broken", "the connection to Runflow broke"
