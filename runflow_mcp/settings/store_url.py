"""The parser of ``MCP_RATE_LIMIT_STORE``, stricter than the Redis client's own.

Pure. The client ignores a path that is not a database number, passes unknown options on as arguments, and raises for
a wrong one only when it first connects; here each of these stops the start.
"""

import re
from collections.abc import Callable
from urllib.parse import parse_qsl, urlsplit

MEMORY = "memory://"
EXPECTED = (
    "memory://, redis://host:port/db or rediss://host:port/db; "
    "in a password write / as %2F, @ as %40, # as %23, ? as %3F, : as %3A and % as %25"
)
_HOST = re.compile(r"[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]")
_DATABASE = re.compile(r"/?[0-9]{0,5}")
_PRINTABLE = re.compile(r"[!-~]+")


def _one_of(*allowed: str) -> Callable[[str], bool]:
    return lambda value: value in allowed


#: Options after the ``?``, and the check of their values. Timeouts and pool sizes are set by the server.
_OPTIONS: dict[str, Callable[[str], bool]] = {
    "db": lambda value: bool(value.isascii() and value.isdecimal() and len(value) <= 5),  # noqa: PLR2004
    "username": bool,
    "password": bool,
    "client_name": bool,
    "protocol": _one_of("2", "3"),
    "health_check_interval": lambda value: bool(value.isascii() and value.isdecimal() and len(value) <= 5),  # noqa: PLR2004
}
_TLS_OPTIONS: dict[str, Callable[[str], bool]] = {
    "ssl_cert_reqs": _one_of("none", "optional", "required"),
    "ssl_check_hostname": _one_of("true", "false", "True", "False"),
    "ssl_ca_certs": bool,
    "ssl_ca_path": bool,
    "ssl_certfile": bool,
    "ssl_keyfile": bool,
    "ssl_password": bool,
}


def store(value: str) -> str:
    """The URL, unchanged. Raises ``ValueError`` with what was expected; it never repeats the URL."""
    if value == MEMORY:
        return value
    try:
        if not _usable(value):
            raise ValueError(EXPECTED)
    except ValueError:
        # The URL parser's own message may quote a part of the password.
        raise ValueError(EXPECTED) from None
    wrong = _wrong_option(value)
    if wrong is not None:
        raise ValueError(wrong)
    return value


def _usable(value: str) -> bool:
    if not _PRINTABLE.fullmatch(value):
        return False
    parts = urlsplit(value)
    host = parts.netloc.rpartition("@")[2]
    name = host if host.endswith("]") else re.sub(r":[0-9]+\Z", "", host)
    return bool(
        value.startswith(("redis://", "rediss://"))
        and _HOST.fullmatch(name)
        and parts.port != 0
        and _DATABASE.fullmatch(parts.path)
        and "#" not in value
    )


def _wrong_option(value: str) -> str | None:
    parts = urlsplit(value)
    allowed = _OPTIONS | (_TLS_OPTIONS if parts.scheme == "rediss" else {})
    try:
        given = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True) if parts.query else []
    except ValueError:
        return EXPECTED
    for name, text in given:
        if name not in allowed:
            # The name is not repeated: it may be the end of a password with a ? in it.
            return f"no other options after ? than {', '.join(allowed)}; {EXPECTED}"
        if not allowed[name](text):
            return f"another value of the option {name}; {EXPECTED}"
    return None
