"""Settings that are valid but probably a mistake: the consequence, and what to set instead. Pure."""

import ipaddress
from urllib.parse import urlsplit

import attrs

from runflow_mcp.addresses import IPNetwork, is_loopback_host
from runflow_mcp.settings.config import Config
from runflow_mcp.settings.masking import display_text

#: In seconds, like the next four. Shorter than nearly every run: the number was probably meant as seconds.
SHORT_WAIT = 10.0
#: So short that a limit stops nobody: the number was probably meant as seconds.
SHORT_WINDOW = 5.0
#: The catalog changes weekly at most; fetching it more often than this is a waste.
SHORT_TTL = 10.0
#: Shorter than a slow response of Runflow's.
SHORT_UPSTREAM = 1.0
#: So short that only answers that are ready can be written.
SHORT_GRACE = 1.0
#: Prefix lengths of the widest networks that an operator may own: 10.0.0.0/8, and an IPv6 allocation.
WIDEST_IPV4, WIDEST_IPV6 = 8, 16
PRIVATE_IPV6 = ipaddress.IPv6Network("fc00::/7")
#: Bytes. Many concurrent requests with larger bodies can exhaust the memory.
LARGE_MAX_BODY = 16 * 1024 * 1024


@attrs.frozen
class SettingWarning:
    """``setting``: its name. ``why``: the consequence. ``fix``: what to set instead."""

    setting: str
    value: str
    why: str
    fix: str


def setting_warnings(config: Config, *, open_files: int | None = None, files_needed: int = 0) -> list[SettingWarning]:
    """A warning for each questionable setting. ``open_files``: how many this process may open, None if unknown."""
    warnings: list[SettingWarning] = []
    fields = {field.metadata["name"]: field for field in attrs.fields(Config)}

    def warn(name: str, why: str, fix: str) -> None:
        field = fields[name]
        value = display_text(getattr(config, field.name), field.metadata["kind"])
        warnings.append(SettingWarning(name, value, why, fix))

    if not is_loopback_host(config.host) and not config.public_url.startswith("https://"):
        warn(
            "MCP_HOST",
            "other machines can connect, and this server has no TLS: API keys cross the network unencrypted",
            "put TLS in front and set MCP_PUBLIC_URL to its https:// address, or listen on 127.0.0.1",
        )
    if config.public_url.startswith("http://") and not is_loopback_host(urlsplit(config.public_url).hostname or ""):
        warn("MCP_PUBLIC_URL", "clients send API keys unencrypted", "put TLS in front and write https://")
    if "*" in config.allowed_hosts:
        warn(
            "MCP_ALLOWED_HOSTS",
            "a web page can point its host name at this server (DNS rebinding) and call it from a browser",
            "list the hosts",
        )
    if "*" in config.allowed_origins_setting:
        warn("MCP_ALLOWED_ORIGINS", "any web page can call this server from a browser", "list the origins")
    if any(_is_wide(network) for network in config.trusted_proxies):
        warn(
            "MCP_TRUSTED_PROXIES",
            "nearly every client counts as a proxy, so it can claim any address and evade the rate limits",
            "list only the addresses of your proxies",
        )
    for name, value, least, why, fix in (
        (
            "MCP_POLL_TIMEOUT_MS",
            config.poll_timeout,
            SHORT_WAIT,
            "the value is in milliseconds, and most runs take longer: nearly every generate ends in polling_timeout",
            "600000 is ten minutes",
        ),
        (
            "MCP_RATE_LIMIT_WINDOW_MS",
            config.rate_limit_window,
            SHORT_WINDOW,
            "the value is in milliseconds: a limit that resets this often stops nobody",
            "60000 is a minute",
        ),
        (
            "MCP_CATALOG_TTL_MS",
            config.catalog_ttl,
            SHORT_TTL,
            "the value is in milliseconds: the catalog is fetched again and again",
            "300000 is five minutes",
        ),
        (
            "RUNFLOW_TIMEOUT_MS",
            config.upstream_timeout,
            SHORT_UPSTREAM,
            "the value is in milliseconds: responses of Runflow that are only slow count as failed",
            "30000 is half a minute",
        ),
        (
            "MCP_SHUTDOWN_GRACE_MS",
            config.shutdown_grace,
            SHORT_GRACE,
            "the value is in milliseconds: a stop ends waiting calls before their answers are written",
            "10000 is ten seconds",
        ),
    ):
        if value < least:
            warn(name, why, fix)
    if config.workers > 1 and config.rate_limit_store == "memory://":
        warn(
            "MCP_WORKERS",
            f"each process counts requests for itself: rate limits are per process, so up to {config.workers} times "
            "as many requests are admitted",
            "set MCP_RATE_LIMIT_STORE to a Redis or Valkey, or MCP_WORKERS=1",
        )
    if config.upstream_timeout > config.poll_timeout >= SHORT_WAIT:
        warn(
            "RUNFLOW_TIMEOUT_MS",
            "a single request to Runflow may take longer than MCP_POLL_TIMEOUT_MS allows for the whole call",
            "set it below MCP_POLL_TIMEOUT_MS",
        )
    if config.max_body_bytes > LARGE_MAX_BODY:
        warn("MCP_MAX_BODY_BYTES", "a few large concurrent requests can exhaust the memory", "the default is 262144")
    if urlsplit(config.api_url).scheme == "http" and not is_loopback_host(urlsplit(config.api_url).hostname or ""):
        warn("RUNFLOW_API_URL", "API keys are sent to this address unencrypted", "write https://")
    if open_files is not None and open_files < files_needed:
        warn(
            "MCP_MAX_WAITS",
            f"it needs {files_needed} open files, and this process may open {open_files}: "
            "beyond that, new connections are not accepted",
            "raise the limit (ulimit -n, LimitNOFILE=, ulimits:), or lower MCP_MAX_WAITS",
        )
    return warnings


def _is_wide(network: IPNetwork) -> bool:
    if isinstance(network, ipaddress.IPv4Network):
        return network.prefixlen < WIDEST_IPV4
    return network.prefixlen < WIDEST_IPV6 and not network.subnet_of(PRIVATE_IPV6)
