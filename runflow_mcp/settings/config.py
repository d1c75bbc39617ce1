"""Every setting of the server: its name, default, meaning and the check it must pass.

One frozen class built from a mapping; the README's table and ``runflow-mcp config`` come from its fields.
Nothing else in the package reads the environment.
"""

import difflib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import attrs

from runflow_mcp.settings import egress, store_url
from runflow_mcp.settings import parsers as values
from runflow_mcp.settings.egress import Egress, Proxy
from runflow_mcp.settings.parsers import IPNetwork


class ConfigError(Exception):
    """The settings cannot be used; ``errors`` has one line per wrong one."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


def setting(name: str, default: str, kind: str, parse: Callable[[str], Any], help_: str, *, empty: bool = False) -> Any:
    """A field of ``Config``. ``empty``: the empty text is a value of its own, not the default."""
    metadata = {"name": name, "default": default, "kind": kind, "parse": parse, "help": help_, "empty": empty}
    # A repr has the fields' names, and those of durations count seconds.
    shown: Any = True if kind == "ms" else partial(values.shown, kind=kind)
    return attrs.field(default=parse(default), metadata=metadata, repr=shown)


_DAY_MS = 86_400_000


@attrs.frozen(kw_only=True)
class Config:
    """The settings, checked. Durations are seconds here; their settings are in milliseconds, as the names say."""

    host: str = setting(
        "MCP_HOST", "127.0.0.1", "text", values.host, "Address to listen on; :: is every address, IPv4 ones too."
    )
    port: int = setting("MCP_PORT", "8080", "integer", values.integer(1, 65535), "Port to listen on.")
    public_url: str = setting(
        "MCP_PUBLIC_URL",
        "",
        "origin",
        values.origin,
        "The origin that clients use, such as https://mcp.example.com. Set it wherever TLS ends in front; "
        "empty: taken from each request's Host, with http.",
    )
    allowed_hosts_setting: tuple[str, ...] = setting(
        "MCP_ALLOWED_HOSTS",
        "",
        "list",
        values.hosts,
        "Host headers to accept, exactly host[:port]; without a port also ports 80 and 443. Default: localhost, "
        "127.0.0.1, [::1] and MCP_HOST, each with the port. The public URL's host is always in. "
        "* accepts any (unsafe).",
    )
    allowed_origins_setting: tuple[str, ...] = setting(
        "MCP_ALLOWED_ORIGINS",
        "",
        "list",
        values.origins,
        "Origins that browsers may call from, of any scheme (https://…, chrome-extension://…, vscode-webview://…). "
        "Default: the origins of the allowed hosts. A request without Origin passes; null never does.",
    )
    max_body_bytes: int = setting(
        "MCP_MAX_BODY_BYTES", "262144", "bytes", values.integer(1024, 64 * 1024 * 1024), "Cap of one POST body."
    )
    accepted_key_prefixes: tuple[str, ...] = setting(
        "MCP_ACCEPTED_KEY_PREFIXES",
        "rf_live",
        "list",
        values.prefixes,
        "Kinds of API key to accept: a key is <prefix>_<something>.",
    )
    poll_timeout: float = setting(
        "MCP_POLL_TIMEOUT_MS", "600000", "ms", values.milliseconds(1, _DAY_MS), "Ceiling of one waiting generate."
    )
    rate_limit_window: float = setting(
        "MCP_RATE_LIMIT_WINDOW_MS", "60000", "ms", values.milliseconds(1000, _DAY_MS), "Length of the sliding windows."
    )
    rate_limit_pre_auth_per_ip: int = setting(
        "MCP_RATE_LIMIT_PRE_AUTH_PER_IP",
        "30",
        "integer",
        values.integer(1, 10**9),
        "Requests per address and window that bring no acceptable key.",
    )
    rate_limit_per_ip: int = setting(
        "MCP_RATE_LIMIT_PER_IP",
        "120",
        "integer",
        values.integer(1, 10**9),
        "Requests per address and window with an acceptable key.",
    )
    rate_limit_per_key: int = setting(
        "MCP_RATE_LIMIT_PER_KEY", "600", "integer", values.integer(1, 10**9), "Requests per key and window."
    )
    rate_limit_store: str = setting(
        "MCP_RATE_LIMIT_STORE",
        "memory://",
        "url",
        store_url.store,
        "Where the windows live: memory://, or redis:// or rediss:// (Redis or Valkey) when several processes "
        "share one limit.",
    )
    trusted_proxies: tuple[IPNetwork, ...] = setting(
        "MCP_TRUSTED_PROXIES",
        "",
        "list",
        values.networks,
        "CIDR ranges whose X-Forwarded-For is believed.",
    )
    max_waits: int = setting(
        "MCP_MAX_WAITS",
        "5000",
        "integer",
        values.integer(1, 100_000),
        "Waiting generate calls held at once, until their answers are read; past it a waiting call is server_busy.",
    )
    max_waits_per_key: int = setting(
        "MCP_MAX_WAITS_PER_KEY",
        "1000",
        "integer",
        values.integer(1, 100_000),
        "Of these with one key, at most half of MCP_MAX_WAITS; past it a waiting call is server_busy.",
    )
    catalog_ttl: float = setting(
        "MCP_CATALOG_TTL_MS", "300000", "ms", values.milliseconds(100, _DAY_MS), "How long a catalog snapshot is fresh."
    )
    shutdown_grace: float = setting(
        "MCP_SHUTDOWN_GRACE_MS",
        "10000",
        "ms",
        values.milliseconds(0, 3_600_000),
        "Time that waiting calls get to end after SIGTERM.",
    )
    log_level: str = setting(
        "MCP_LOG_LEVEL", "info", "text", values.choice("debug", "info", "warning", "error"), "Least level logged."
    )
    log_format: str = setting(
        "MCP_LOG_FORMAT",
        "auto",
        "text",
        values.choice("json", "console", "auto"),
        "json, console, or auto (console on a terminal).",
    )
    api_url: str = setting(
        "RUNFLOW_API_URL", "https://api.runflow.io", "url", values.base_url, "The Runflow API, without /v1."
    )
    catalog_url: str = setting(
        "RUNFLOW_CATALOG_URL",
        "https://www.runflow.io/models-catalog.json",
        "url",
        values.http_url,
        "The model catalog.",
    )
    skill_url: str = setting(
        "RUNFLOW_SKILL_URL",
        "https://www.runflow.io/.well-known/agent-skills/runflow/SKILL.md",
        "url",
        values.optional_url,
        "The agent skill; empty: the bundled one alone.",
        empty=True,
    )
    upstream_timeout: float = setting(
        "RUNFLOW_TIMEOUT_MS", "30000", "ms", values.milliseconds(100, 600_000), "Time for one upstream request."
    )

    https_proxy: Proxy | None = setting(  # noqa: RUF009 - makes a field, as for the others
        "HTTPS_PROXY",
        "",
        "url",
        egress.proxy,
        "Proxy for outgoing https requests, such as http://user:password@proxy.example.com:3128. "
        "Loopback addresses never go through a proxy.",
    )
    http_proxy: Proxy | None = setting(  # noqa: RUF009
        "HTTP_PROXY", "", "url", egress.proxy, "The same for outgoing http requests."
    )
    no_proxy: tuple[str, ...] = setting(
        "NO_PROXY",
        "",
        "list",
        egress.no_proxy,
        "Hosts to reach without a proxy: a host with its subdomains, host:port, an address, a CIDR range, or *.",
    )
    ssl_cert_file: str = setting(
        "SSL_CERT_FILE",
        "",
        "path",
        egress.certificate_file,
        "PEM file of certificates that outgoing TLS trusts beside the system's, such as a private authority's.",
    )

    @property
    def waits_per_key(self) -> int:
        """Waiting calls with one key: no key takes more than half of the places, except of a single one."""
        return min(self.max_waits_per_key, max(1, self.max_waits // 2))

    @property
    def egress(self) -> Egress:
        """How requests leave this machine."""
        return Egress(self.https_proxy, self.http_proxy, self.no_proxy, self.ssl_cert_file)

    @classmethod
    def from_mapping(cls, environ: Mapping[str, str]) -> "Config":
        """Check every setting; raises ``ConfigError`` that lists all the wrong ones."""
        read: dict[str, Any] = {}
        errors: list[str] = []
        for field in attrs.fields(cls):
            try:
                value = _given(field, environ)
            except ValueError as error:
                name, kind = _name_in(field, environ), field.metadata["kind"]
                errors.append(f"{name}={values.masked(environ[name], kind)!r}: expected {error}")
            else:
                if value is not None:
                    read[field.name] = value
        if errors:
            raise ConfigError(errors)
        return cls(**read)

    @property
    def allowed_hosts(self) -> tuple[str, ...]:
        """The Host allowlist as configured: defaults and the public URL's host included."""
        # Clients leave the default ports out; an entry without a port matches them too.
        port = "" if self.port in (80, 443) else f":{self.port}"
        # Clients write no zone: it is the name of an interface of this machine.
        bound = f"[{self.host.partition('%')[0]}]" if ":" in self.host else self.host
        own = () if bound in ("0.0.0.0", "[::]") else (f"{bound}{port}",)  # noqa: S104 - compared, not bound
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
                values.shown(getattr(self, field.name), field.metadata["kind"]),
                field.metadata["help"],
            )
            for field in attrs.fields(type(self))
        ]


def _name_in(field: "attrs.Attribute[Any]", environ: Mapping[str, str]) -> str:
    """The name of a setting as this environment spells it: proxies are spelt in two cases everywhere."""
    name: str = field.metadata["name"]
    return name.lower() if name.endswith("_PROXY") and environ.get(name.lower(), "").strip() else name


def _given(field: "attrs.Attribute[Any]", environ: Mapping[str, str]) -> Any:
    """The value of a setting that is set, None where it is not; raises ``ValueError`` that says what was expected."""
    text = environ.get(_name_in(field, environ))
    if text is None or (not text.strip() and not field.metadata["empty"]):
        return None
    return field.metadata["parse"](text.strip())


@attrs.frozen(kw_only=True)
class Row:
    """One setting as ``runflow-mcp config`` shows it, secrets masked. ``error``: what is wrong with its value."""

    name: str
    type: str
    default: str
    value: str
    is_set: bool
    help: str
    error: str | None = None


def survey(environ: Mapping[str, str]) -> list[Row]:
    """Every setting with the value that it has in this environment, the wrong ones included."""
    rows = []
    for field in attrs.fields(Config):
        name, kind, default = (field.metadata[key] for key in ("name", "kind", "default"))
        value, error = None, None
        try:
            value = _given(field, environ)
            shown = values.shown(field.default if value is None else value, kind)
        except ValueError as wrong:
            shown, error = values.masked(environ[_name_in(field, environ)], kind), f"expected {wrong}"
        rows.append(
            Row(
                name=name,
                type=kind,
                default=default,
                value=shown,
                is_set=value is not None or error is not None,
                help=field.metadata["help"],
                error=error,
            )
        )
    return rows


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
