"""Every setting of the server: name, type, default, parser and help text, as fields of one frozen class.

The README's table, ``runflow-mcp config`` and ``deploy/env.example`` come from these fields. Takes a mapping; only
``cli.environment`` reads the process environment.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import attrs

from runflow_mcp.addresses import IPNetwork
from runflow_mcp.settings import egress, parsers, store_url
from runflow_mcp.settings.egress import Egress, Proxy
from runflow_mcp.settings.masking import display_text, masked


class ConfigError(Exception):
    """Some settings are wrong; ``errors`` has one line for each."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


def setting(name: str, default: str, kind: str, parse: Callable[[str], Any], help_: str, *, empty: bool = False) -> Any:
    """A field of ``Config``. ``empty``: an empty text is a value, and does not mean the default."""
    metadata = {"name": name, "default": default, "kind": kind, "parse": parse, "help": help_, "empty": empty}
    # A repr names the field, whose duration is in seconds; the report names the setting, in milliseconds.
    repr_: Any = True if kind == "ms" else partial(display_text, kind=kind)
    return attrs.field(default=parse(default), metadata=metadata, repr=repr_)


_DAY_MS = 86_400_000


@attrs.frozen(kw_only=True)
class Config:
    """The settings, checked. Durations are in seconds here, and in milliseconds in the settings that end in ``_MS``."""

    host: str = setting(
        "MCP_HOST", "127.0.0.1", "text", parsers.host, "Address to listen on; :: is every address, IPv4 included."
    )
    port: int = setting("MCP_PORT", "8080", "integer", parsers.integer(1, 65535), "Port to listen on.")
    public_url: str = setting(
        "MCP_PUBLIC_URL",
        "",
        "origin",
        parsers.origin,
        "The origin that clients use, such as https://mcp.example.com. Set it when TLS ends at a proxy; "
        "empty: taken from each request's Host header, with http.",
    )
    allowed_hosts_setting: tuple[str, ...] = setting(
        "MCP_ALLOWED_HOSTS",
        "",
        "list",
        parsers.hosts,
        "Accepted Host headers, each exactly host[:port]; an entry without a port also matches ports 80 and 443. "
        "Default: localhost, 127.0.0.1, [::1] and MCP_HOST, each with the port. The public URL's host is always "
        "accepted. * accepts any host (unsafe).",
    )
    allowed_origins_setting: tuple[str, ...] = setting(
        "MCP_ALLOWED_ORIGINS",
        "",
        "list",
        parsers.origins,
        "Origins that browsers may call from, with any scheme (https://…, chrome-extension://…, vscode-webview://…). "
        "Default: the origins of the allowed hosts. A request without an Origin header is accepted, the origin null "
        "never is.",
    )
    max_body_bytes: int = setting(
        "MCP_MAX_BODY_BYTES",
        "262144",
        "bytes",
        parsers.integer(1024, 64 * 1024 * 1024),
        "Maximum size of a POST body.",
    )
    accepted_key_prefixes: tuple[str, ...] = setting(
        "MCP_ACCEPTED_KEY_PREFIXES",
        "rf_live",
        "list",
        parsers.prefixes,
        "Accepted kinds of API key: a key is <prefix>_<something>.",
    )
    poll_timeout: float = setting(
        "MCP_POLL_TIMEOUT_MS",
        "600000",
        "ms",
        parsers.milliseconds(1, _DAY_MS),
        "Maximum time that one generate call waits for its run.",
    )
    rate_limit_window: float = setting(
        "MCP_RATE_LIMIT_WINDOW_MS",
        "60000",
        "ms",
        parsers.milliseconds(1000, _DAY_MS),
        "Length of the sliding rate-limit windows.",
    )
    rate_limit_pre_auth_per_ip: int = setting(
        "MCP_RATE_LIMIT_PRE_AUTH_PER_IP",
        "30",
        "integer",
        parsers.integer(1, 10**9),
        "Requests without an acceptable key allowed per IP address and window.",
    )
    rate_limit_per_ip: int = setting(
        "MCP_RATE_LIMIT_PER_IP",
        "120",
        "integer",
        parsers.integer(1, 10**9),
        "Requests with an acceptable key allowed per IP address and window.",
    )
    rate_limit_per_key: int = setting(
        "MCP_RATE_LIMIT_PER_KEY", "600", "integer", parsers.integer(1, 10**9), "Requests allowed per key and window."
    )
    rate_limit_store: str = setting(
        "MCP_RATE_LIMIT_STORE",
        "memory://",
        "url",
        store_url.store,
        "Where requests are counted: memory:// (in each process), or redis:// or rediss:// (Redis or Valkey) to share "
        "the limits between processes.",
    )
    trusted_proxies: tuple[IPNetwork, ...] = setting(
        "MCP_TRUSTED_PROXIES",
        "",
        "list",
        parsers.networks,
        "CIDR ranges of the proxies whose X-Forwarded-For header is trusted.",
    )
    max_waits: int = setting(
        "MCP_MAX_WAITS",
        "5000",
        "integer",
        parsers.integer(1, 100_000),
        "Maximum number of waiting generate calls, each counted until its answer is read; more are refused with "
        "server_busy.",
    )
    max_waits_per_key: int = setting(
        "MCP_MAX_WAITS_PER_KEY",
        "1000",
        "integer",
        parsers.integer(1, 100_000),
        "Maximum number of waiting calls per key, at most half of MCP_MAX_WAITS; more are refused with server_busy.",
    )
    catalog_ttl: float = setting(
        "MCP_CATALOG_TTL_MS",
        "300000",
        "ms",
        parsers.milliseconds(100, _DAY_MS),
        "Time for which a catalog snapshot counts as fresh.",
    )
    shutdown_grace: float = setting(
        "MCP_SHUTDOWN_GRACE_MS",
        "10000",
        "ms",
        parsers.milliseconds(0, 3_600_000),
        "Time that waiting calls get to finish after SIGTERM.",
    )
    workers: int = setting(
        "MCP_WORKERS",
        "1",
        "integer",
        parsers.integer(0, 256),
        "Processes that share the port; 0: one for each processor core. Limits per process apply to each of them.",
    )
    metrics_port: int = setting(
        "MCP_METRICS_PORT",
        "0",
        "integer",
        parsers.integer(0, 65535),
        "Port of GET /metrics (Prometheus); 0: off. Needs the extra metrics, which the image and make run have.",
    )
    metrics_host: str = setting(
        "MCP_METRICS_HOST",
        "127.0.0.1",
        "text",
        parsers.host,
        "Bind address of that port. It needs no key: whoever can connect can read the metrics.",
    )
    authorization_servers: tuple[str, ...] = setting(
        "MCP_AUTHORIZATION_SERVERS",
        "",
        "list",
        parsers.issuers,
        "Issuer URLs for authorization_servers in the protected-resource document, for clients that need one. API keys "
        "are checked as before.",
    )
    view_origins: tuple[str, ...] = setting(
        "MCP_VIEW_ORIGINS",
        "https://*.runflow.io,https://storage.googleapis.com,https://*.amazonaws.com,https://*.r2.cloudflarestorage.com",
        "list",
        parsers.media_origins,
        "Origins from which the result view may load pictures, video and audio; *. matches every subdomain. "
        "The sandbox's own is always added.",
    )
    log_level: str = setting(
        "MCP_LOG_LEVEL",
        "info",
        "text",
        parsers.choice("debug", "info", "warning", "error"),
        "Minimum level of a log line: debug, info, warning or error.",
    )
    log_format: str = setting(
        "MCP_LOG_FORMAT",
        "auto",
        "text",
        parsers.choice("json", "console", "auto"),
        "Log format: json, console, or auto (console on a terminal, else json).",
    )
    api_url: str = setting(
        "RUNFLOW_API_URL",
        "https://api.runflow.io",
        "url",
        parsers.base_url,
        "Base URL of the Runflow API, without /v1.",
    )
    catalog_url: str = setting(
        "RUNFLOW_CATALOG_URL",
        "https://www.runflow.io/models-catalog.json",
        "url",
        parsers.http_url,
        "URL of the model catalog.",
    )
    skill_url: str = setting(
        "RUNFLOW_SKILL_URL",
        "https://www.runflow.io/.well-known/agent-skills/runflow/SKILL.md",
        "url",
        parsers.optional_url,
        "URL of the agent skill; empty: only the bundled skill is used.",
        empty=True,
    )
    upstream_timeout: float = setting(
        "RUNFLOW_TIMEOUT_MS",
        "30000",
        "ms",
        parsers.milliseconds(100, 600_000),
        "Maximum time of one request to Runflow.",
    )

    https_proxy: Proxy | None = setting(  # noqa: RUF009 - makes a field, as for the others
        "HTTPS_PROXY",
        "",
        "url",
        egress.proxy,
        "Proxy for outgoing https requests, such as http://user:password@proxy.example.com:3128. "
        "Loopback addresses are always reached directly.",
    )
    http_proxy: Proxy | None = setting(  # noqa: RUF009
        "HTTP_PROXY", "", "url", egress.proxy, "Proxy for outgoing http requests."
    )
    no_proxy: tuple[str, ...] = setting(
        "NO_PROXY",
        "",
        "list",
        egress.no_proxy,
        "Hosts reached without a proxy: a host (with its subdomains), host:port, an address, a CIDR range, or *.",
    )
    ssl_cert_file: str = setting(
        "SSL_CERT_FILE",
        "",
        "path",
        egress.certificate_file,
        "PEM file of certificate authorities that outgoing TLS trusts besides the system's, such as a company's own.",
    )

    @property
    def waits_per_key(self) -> int:
        """Waiting calls per key: at most half of the slots, but at least one."""
        return min(self.max_waits_per_key, max(1, self.max_waits // 2))

    @property
    def egress(self) -> Egress:
        """How outgoing requests reach the network."""
        return Egress(self.https_proxy, self.http_proxy, self.no_proxy, self.ssl_cert_file)

    @classmethod
    def from_mapping(cls, environ: Mapping[str, str]) -> "Config":
        """Parse every setting. Raises ``ConfigError``, which lists all wrong ones."""
        read: dict[str, Any] = {}
        errors: list[str] = []
        for field in attrs.fields(cls):
            try:
                value = parse_setting(field, environ)
            except ValueError as error:
                name, kind = name_in(field, environ), field.metadata["kind"]
                errors.append(f"{name}={masked(environ[name], kind)!r}: expected {error}")
            else:
                if value is not None:
                    read[field.name] = value
        if errors:
            raise ConfigError(errors)
        return cls(**read)

    @property
    def allowed_hosts(self) -> tuple[str, ...]:
        """The Host allowlist: as set or the defaults, and the public URL's host."""
        # Clients leave out a default port; an entry without a port matches both.
        port = "" if self.port in (80, 443) else f":{self.port}"
        # Without the IPv6 zone: it names an interface of this machine, and clients do not send it.
        bound = f"[{self.host.partition('%')[0]}]" if ":" in self.host else self.host
        own = () if bound in ("0.0.0.0", "[::]") else (f"{bound}{port}",)  # noqa: S104 - compared, not bound
        local = dict.fromkeys((f"localhost{port}", f"127.0.0.1{port}", f"[::1]{port}", *own))
        hosts = self.allowed_hosts_setting or tuple(local)
        public = urlsplit(self.public_url).netloc
        return hosts if not public or public in hosts else (*hosts, public)

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """The Origin allowlist: as set, else http and https of every allowed host."""
        if self.allowed_origins_setting:
            return self.allowed_origins_setting
        return tuple(
            origin
            for host in self.allowed_hosts
            for origin in (("*",) if host == "*" else (f"http://{host}", f"https://{host}"))
        )

    def table(self) -> list[tuple[str, str, str, str, str]]:
        """One row per setting: name, type, default, current value (secrets masked), help."""
        return [
            (
                field.metadata["name"],
                field.metadata["kind"],
                field.metadata["default"],
                display_text(getattr(self, field.name), field.metadata["kind"]),
                field.metadata["help"],
            )
            for field in attrs.fields(type(self))
        ]


def name_in(field: "attrs.Attribute[Any]", environ: Mapping[str, str]) -> str:
    """The setting's name as this environment spells it: proxy variables may be in lower case."""
    name: str = field.metadata["name"]
    return name.lower() if name.endswith("_PROXY") and environ.get(name.lower(), "").strip() else name


def parse_setting(field: "attrs.Attribute[Any]", environ: Mapping[str, str]) -> Any:
    """The value of a setting, None when it is not set. Raises ``ValueError`` with what was expected."""
    text = environ.get(name_in(field, environ))
    if text is None or (not text.strip() and not field.metadata["empty"]):
        return None
    return field.metadata["parse"](text.strip())
