"""Settings that are allowed and rarely meant: what follows from them, and what to set instead. Pure."""

import ipaddress
from urllib.parse import urlsplit

import attrs

from runflow_mcp.settings.config import Config
from runflow_mcp.settings.parsers import IPNetwork, shown

#: Shorter than nearly every run takes: such a number was meant as seconds.
SHORT_WAIT = 10.0
#: Short enough that a limit stops nobody, and that the figure was probably meant as seconds.
SHORT_WINDOW = 5.0
#: More often than this the catalog is fetched again and again although it changes weekly at most.
SHORT_TTL = 10.0
#: Shorter than an answer of Runflow's takes on a slow day.
SHORT_UPSTREAM = 1.0
#: Time in which answers that are ready can still be written.
SHORT_GRACE = 1.0
#: The widest networks in which everybody may be a proxy of one's own: 10.0.0.0/8, and one allocation of IPv6.
WIDEST_IPV4, WIDEST_IPV6 = 8, 16
PRIVATE_IPV6 = ipaddress.IPv6Network("fc00::/7")
#: More than this held in memory for each of many requests at once is a way to run out of it.
LARGE_BODY = 16 * 1024 * 1024


@attrs.frozen
class SettingWarning:
    """``setting``: its name. ``why``: what follows. ``fix``: what to set instead."""

    setting: str
    value: str
    why: str
    fix: str


def setting_warnings(config: Config, *, open_files: int | None = None, files_needed: int = 0) -> list[SettingWarning]:
    """A warning for each questionable setting. ``open_files``: how many this process may open, where it is known."""
    found: list[SettingWarning] = []
    fields = {field.metadata["name"]: field for field in attrs.fields(Config)}

    def warn(name: str, why: str, fix: str) -> None:
        field = fields[name]
        value = shown(getattr(config, field.name), field.metadata["kind"])
        found.append(SettingWarning(name, value, why, fix))

    if not _is_loopback(config.host) and not config.public_url.startswith("https://"):
        warn(
            "MCP_HOST",
            "other machines can connect, and this server has no TLS: API keys cross the network in the clear",
            "put TLS in front and set MCP_PUBLIC_URL to its https:// address, or listen on 127.0.0.1",
        )
    if config.public_url.startswith("http://") and not _is_loopback(urlsplit(config.public_url).hostname or ""):
        warn("MCP_PUBLIC_URL", "clients send API keys in the clear", "put TLS in front and write https://")
    if "*" in config.allowed_hosts:
        warn(
            "MCP_ALLOWED_HOSTS",
            "a web page can point its own host name here (DNS rebinding) and use this server from a browser",
            "name the hosts",
        )
    if "*" in config.allowed_origins_setting:
        warn("MCP_ALLOWED_ORIGINS", "any web page can call this server from a browser", "name the origins")
    if any(_is_wide(network) for network in config.trusted_proxies):
        warn(
            "MCP_TRUSTED_PROXIES",
            "nearly everybody counts as a proxy, so any client can claim any address and escape the limits",
            "list only the addresses that your proxies connect from",
        )
    for name, value, least, why, fix in (
        (
            "MCP_POLL_TIMEOUT_MS",
            config.poll_timeout,
            SHORT_WAIT,
            "the value is milliseconds, and most runs take longer: nearly every generate ends as polling_timeout",
            "600000 is ten minutes",
        ),
        (
            "MCP_RATE_LIMIT_WINDOW_MS",
            config.rate_limit_window,
            SHORT_WINDOW,
            "the value is milliseconds: a limit is full for moments only and stops nobody",
            "60000 is a minute",
        ),
        (
            "MCP_CATALOG_TTL_MS",
            config.catalog_ttl,
            SHORT_TTL,
            "the value is milliseconds: the catalog is fetched again every few moments",
            "300000 is five minutes",
        ),
        (
            "RUNFLOW_TIMEOUT_MS",
            config.upstream_timeout,
            SHORT_UPSTREAM,
            "the value is milliseconds: answers of Runflow that are only slow count as lost",
            "30000 is half a minute",
        ),
        (
            "MCP_SHUTDOWN_GRACE_MS",
            config.shutdown_grace,
            SHORT_GRACE,
            "the value is milliseconds: a stop cuts waiting calls off before their answers are written",
            "10000 is ten seconds",
        ),
    ):
        if value < least:
            warn(name, why, fix)
    if config.upstream_timeout > config.poll_timeout >= SHORT_WAIT:
        warn(
            "RUNFLOW_TIMEOUT_MS",
            "one request to Runflow may take longer than MCP_POLL_TIMEOUT_MS allows for the whole call",
            "set it below MCP_POLL_TIMEOUT_MS",
        )
    if config.max_body_bytes > LARGE_BODY:
        warn("MCP_MAX_BODY_BYTES", "a few large requests at once can use up the memory", "the default is 262144")
    if urlsplit(config.api_url).scheme == "http" and not _is_loopback(urlsplit(config.api_url).hostname or ""):
        warn("RUNFLOW_API_URL", "API keys go to this address in the clear", "write https://")
    if open_files is not None and open_files < files_needed:
        warn(
            "MCP_MAX_WAITS",
            f"it needs {files_needed} open files and this process may have {open_files}: "
            "beyond that new connections are not accepted",
            "raise the limit (ulimit -n, LimitNOFILE=, ulimits:), or lower MCP_MAX_WAITS",
        )
    return found


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_wide(network: IPNetwork) -> bool:
    if isinstance(network, ipaddress.IPv4Network):
        return network.prefixlen < WIDEST_IPV4
    return network.prefixlen < WIDEST_IPV6 and not network.subnet_of(PRIVATE_IPV6)
