"""Every setting of the server: its name, default, meaning and the check it must pass.

One frozen class built from a mapping; the README's table and ``runflow-mcp config`` come from its fields.
Nothing else in the package reads the environment.
"""

import difflib
import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import attrs

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_HOST_ENTRY = re.compile(r"(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?")
_PREFIX = re.compile(r"[A-Za-z0-9]+(?:_[A-Za-z0-9]+)*")
_URL_USER = re.compile(r"([a-z]+://[^:/@]*:).*", re.DOTALL)


class ConfigError(Exception):
    """The settings cannot be used; ``faults`` has one line for each wrong one."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def mask_url_password(value: str) -> str:
    """``redis://user:secret@host`` with the secret replaced."""
    credentials, at, host = value.rpartition("@")
    if not at:
        return value
    user = _URL_USER.fullmatch(credentials)  # a misspelt URL shows nothing before its host
    return f"{user[1] if user else ''}***@{host}"


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return mask_url_password(str(value))


# Parsers: text → value; a ValueError says what was expected.


def _text(value: str) -> str:
    return value


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        expected = f"a whole number from {low} to {high}"
        if not re.fullmatch(r"[0-9]{1,15}", value):
            raise ValueError(expected)
        number = int(value)
        if not low <= number <= high:
            raise ValueError(expected)
        return number

    return parse


def _choice(*allowed: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value.lower() not in allowed:
            raise ValueError("one of " + ", ".join(allowed))
        return value.lower()

    return parse


def _http_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        usable = usable and parts.username is None
    except ValueError:
        usable = False
    if not usable or re.search(r"[\s\x00-\x1f]", value):
        raise ValueError("an http:// or https:// URL without user and password")
    return value


def _base_url(value: str) -> str:
    if urlsplit(_http_url(value)).query or urlsplit(value).fragment:
        raise ValueError("an http:// or https:// URL without query or fragment")
    return value.rstrip("/")


def _optional_url(value: str) -> str:
    return _http_url(value) if value else ""


def _origin(value: str) -> str:
    if not value:
        return ""
    expected = "an origin such as https://mcp.example.com, without a path"
    try:
        parts = urlsplit(_http_url(value))
    except ValueError:
        raise ValueError(expected) from None
    if parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(expected)
    default = {"http": ":80", "https": ":443"}[parts.scheme]
    return f"{parts.scheme}://{parts.netloc.removesuffix(default)}".lower()


def _items(value: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in value.split(",") if item.strip())


def _hosts(value: str) -> tuple[str, ...]:
    hosts = tuple(item.lower() for item in _items(value))
    if not all(host == "*" or _HOST_ENTRY.fullmatch(host) for host in hosts):
        raise ValueError("a comma list of host or host:port (no scheme, no path), or *")
    return hosts


def _origins(value: str) -> tuple[str, ...]:
    return tuple(item if item == "*" else _origin(item) for item in _items(value))


def _prefixes(value: str) -> tuple[str, ...]:
    prefixes = tuple(item.rstrip("_") for item in _items(value))
    if not prefixes or not all(_PREFIX.fullmatch(prefix) for prefix in prefixes):
        raise ValueError("a comma list of key prefixes such as rf_live")
    return prefixes


def _networks(value: str) -> tuple[IPNetwork, ...]:
    try:
        return tuple(ipaddress.ip_network(item, strict=False) for item in _items(value))
    except ValueError:
        raise ValueError("a comma list of CIDR ranges such as 10.0.0.0/8,::1/128") from None


def _store(value: str) -> str:
    parts = urlsplit(value)
    if value == "memory://" or (parts.scheme in ("redis", "rediss") and parts.hostname):
        return value
    raise ValueError("memory://, redis://host:port/db or rediss://host:port/db")


def setting(name: str, default: str, kind: str, parse: Callable[[str], Any], help_: str, *, empty: bool = False) -> Any:
    """A field of ``Config``. ``empty``: the empty text is a value of its own, not the default."""
    metadata = {"name": name, "default": default, "kind": kind, "parse": parse, "help": help_, "empty": empty}
    return attrs.field(default=parse(default), metadata=metadata, repr=_shown)


_DAY_MS = 86_400_000


@attrs.frozen(kw_only=True)
class Config:
    """The settings, checked. Durations are milliseconds, as in their names."""

    host: str = setting("MCP_HOST", "127.0.0.1", "text", _text, "Address to listen on.")
    port: int = setting("MCP_PORT", "8080", "integer", _integer(1, 65535), "Port to listen on.")
    public_url: str = setting(
        "MCP_PUBLIC_URL",
        "",
        "origin",
        _origin,
        "The origin that clients use, such as https://mcp.example.com. Set it wherever TLS ends in front; "
        "empty: taken from each request's Host, with http.",
    )
    allowed_hosts_setting: tuple[str, ...] = setting(
        "MCP_ALLOWED_HOSTS",
        "",
        "list",
        _hosts,
        "Host headers to accept, exactly host[:port]; without a port also ports 80 and 443. Default: localhost, "
        "127.0.0.1, [::1] and MCP_HOST, each with the port. The public URL's host is always in. * accepts any (unsafe).",
    )
    allowed_origins_setting: tuple[str, ...] = setting(
        "MCP_ALLOWED_ORIGINS",
        "",
        "list",
        _origins,
        "Origins that browsers may call from. Default: the origins of the allowed hosts. "
        "A request without Origin passes; null never does.",
    )
    max_body_bytes: int = setting(
        "MCP_MAX_BODY_BYTES", "262144", "bytes", _integer(1024, 64 * 1024 * 1024), "Cap of one POST body."
    )
    accepted_key_prefixes: tuple[str, ...] = setting(
        "MCP_ACCEPTED_KEY_PREFIXES",
        "rf_live",
        "list",
        _prefixes,
        "Kinds of API key to accept: a key is <prefix>_<something>.",
    )
    poll_timeout_ms: int = setting(
        "MCP_POLL_TIMEOUT_MS", "600000", "ms", _integer(1, _DAY_MS), "Ceiling of one waiting generate."
    )
    rate_limit_window_ms: int = setting(
        "MCP_RATE_LIMIT_WINDOW_MS", "60000", "ms", _integer(1000, _DAY_MS), "Length of the sliding windows."
    )
    rate_limit_pre_auth_per_ip: int = setting(
        "MCP_RATE_LIMIT_PRE_AUTH_PER_IP",
        "30",
        "integer",
        _integer(1, 10**9),
        "Requests per address and window that bring no acceptable key.",
    )
    rate_limit_per_ip: int = setting(
        "MCP_RATE_LIMIT_PER_IP",
        "120",
        "integer",
        _integer(1, 10**9),
        "Requests per address and window with an acceptable key.",
    )
    rate_limit_per_key: int = setting(
        "MCP_RATE_LIMIT_PER_KEY", "600", "integer", _integer(1, 10**9), "Requests per key and window."
    )
    rate_limit_store: str = setting(
        "MCP_RATE_LIMIT_STORE",
        "memory://",
        "url",
        _store,
        "Where the windows live: memory://, or redis:// or rediss:// (Redis or Valkey) when several processes "
        "share one limit.",
    )
    trusted_proxies: tuple[IPNetwork, ...] = setting(
        "MCP_TRUSTED_PROXIES",
        "",
        "list",
        _networks,
        "CIDR ranges whose X-Forwarded-For is believed.",
    )
    max_waits: int = setting(
        "MCP_MAX_WAITS",
        "5000",
        "integer",
        _integer(1, 100_000),
        "Waiting generate calls held at once; past it a waiting call is answered server_busy.",
    )
    catalog_ttl_ms: int = setting(
        "MCP_CATALOG_TTL_MS", "300000", "ms", _integer(100, _DAY_MS), "How long a catalog snapshot is fresh."
    )
    shutdown_grace_ms: int = setting(
        "MCP_SHUTDOWN_GRACE_MS",
        "10000",
        "ms",
        _integer(0, 3_600_000),
        "Time that waiting calls get to end after SIGTERM.",
    )
    log_level: str = setting(
        "MCP_LOG_LEVEL", "info", "text", _choice("debug", "info", "warning", "error"), "Least level logged."
    )
    log_format: str = setting(
        "MCP_LOG_FORMAT",
        "auto",
        "text",
        _choice("json", "console", "auto"),
        "json, console, or auto (console on a terminal).",
    )
    api_url: str = setting(
        "RUNFLOW_API_URL", "https://api.runflow.io", "url", _base_url, "The Runflow API, without /v1."
    )
    catalog_url: str = setting(
        "RUNFLOW_CATALOG_URL",
        "https://www.runflow.io/models-catalog.json",
        "url",
        _http_url,
        "The model catalog.",
    )
    skill_url: str = setting(
        "RUNFLOW_SKILL_URL",
        "https://www.runflow.io/.well-known/agent-skills/runflow/SKILL.md",
        "url",
        _optional_url,
        "The agent skill; empty: the bundled one alone.",
        empty=True,
    )
    upstream_timeout_ms: int = setting(
        "RUNFLOW_TIMEOUT_MS", "30000", "ms", _integer(100, 600_000), "Time for one upstream request."
    )

    @classmethod
    def from_mapping(cls, environ: Mapping[str, str]) -> "Config":
        """Check every setting; raises ``ConfigError`` that lists all the wrong ones."""
        values: dict[str, Any] = {}
        faults: list[str] = []
        for field in attrs.fields(cls):
            name, parse = field.metadata["name"], field.metadata["parse"]
            text = environ.get(name)
            if text is None or (not text.strip() and not field.metadata["empty"]):
                continue
            try:
                values[field.name] = parse(text.strip())
            except ValueError as fault:
                faults.append(f"{name}={mask_url_password(text)!r}: expected {fault}")
        if faults:
            raise ConfigError(faults)
        return cls(**values)

    @property
    def allowed_hosts(self) -> tuple[str, ...]:
        """The Host allowlist as configured: defaults and the public URL's host included."""
        # Clients leave the default ports out; an entry without a port matches them too.
        port = "" if self.port in (80, 443) else f":{self.port}"
        bound = f"[{self.host}]" if ":" in self.host else self.host.lower()
        own = () if bound in ("", "0.0.0.0", "[::]") else (f"{bound}{port}",)  # noqa: S104 - compared, not bound
        local = dict.fromkeys((f"localhost{port}", f"127.0.0.1{port}", f"[::1]{port}", *own))
        hosts = self.allowed_hosts_setting or tuple(local)
        public = urlsplit(self.public_url).netloc
        return hosts if not public or public in hosts else (*hosts, public)

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """The Origin allowlist: as set, else both schemes of every allowed host."""
        if self.allowed_origins_setting:
            return self.allowed_origins_setting
        return tuple(
            origin
            for host in self.allowed_hosts
            for origin in (("*",) if host == "*" else (f"http://{host}", f"https://{host}"))
        )

    def table(self) -> list[tuple[str, str, str, str, str]]:
        """One row a setting: name, type, default, current value (secrets masked), help."""
        return [
            (
                field.metadata["name"],
                field.metadata["kind"],
                field.metadata["default"],
                _shown(getattr(self, field.name)),
                field.metadata["help"],
            )
            for field in attrs.fields(type(self))
        ]


def likely_typos(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """Names in the environment that look like a misspelt setting, each with the setting meant."""
    names = [field.metadata["name"] for field in attrs.fields(Config)]
    return [
        (name, near[0])
        for name in sorted(environ)
        if name.startswith(("MCP_", "RUNFLOW_"))
        and name not in names
        and (near := difflib.get_close_matches(name, names, n=1, cutoff=0.85))
    ]
