"""Every documented setting: its default, the values it accepts, and the error for a wrong one."""

import ipaddress

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runflow_mcp.settings.config import Config, ConfigError
from runflow_mcp.settings.masking import mask_url_password
from runflow_mcp.settings.survey import likely_typos
from runflow_mcp.web.allowlists import expand_hosts
from tests.protocol.property_settings import law

SKILL_URL = "https://www.runflow.io/.well-known/agent-skills/runflow/SKILL.md"

#: name → (the attribute that holds it, its documented default)
DEFAULTS: dict[str, tuple[str, object]] = {
    "MCP_HOST": ("host", "127.0.0.1"),
    "MCP_PORT": ("port", 8080),
    "MCP_PUBLIC_URL": ("public_url", ""),
    "MCP_ALLOWED_HOSTS": ("allowed_hosts", ("localhost:8080", "127.0.0.1:8080", "[::1]:8080")),
    "MCP_ALLOWED_ORIGINS": (
        "allowed_origins",
        (
            "http://localhost:8080",
            "https://localhost:8080",
            "http://127.0.0.1:8080",
            "https://127.0.0.1:8080",
            "http://[::1]:8080",
            "https://[::1]:8080",
        ),
    ),
    "MCP_MAX_BODY_BYTES": ("max_body_bytes", 262144),
    "MCP_ACCEPTED_KEY_PREFIXES": ("accepted_key_prefixes", ("rf_live",)),
    "MCP_POLL_TIMEOUT_MS": ("poll_timeout", 600.0),
    "MCP_RATE_LIMIT_WINDOW_MS": ("rate_limit_window", 60.0),
    "MCP_RATE_LIMIT_PRE_AUTH_PER_IP": ("rate_limit_pre_auth_per_ip", 30),
    "MCP_RATE_LIMIT_PER_IP": ("rate_limit_per_ip", 120),
    "MCP_RATE_LIMIT_PER_KEY": ("rate_limit_per_key", 600),
    "MCP_RATE_LIMIT_STORE": ("rate_limit_store", "memory://"),
    "MCP_TRUSTED_PROXIES": ("trusted_proxies", ()),
    "MCP_MAX_WAITS": ("max_waits", 5000),
    "MCP_MAX_WAITS_PER_KEY": ("max_waits_per_key", 1000),
    "MCP_CATALOG_TTL_MS": ("catalog_ttl", 300.0),
    "MCP_SHUTDOWN_GRACE_MS": ("shutdown_grace", 10.0),
    "MCP_WORKERS": ("workers", 1),
    "MCP_METRICS_PORT": ("metrics_port", 0),
    "MCP_METRICS_HOST": ("metrics_host", "127.0.0.1"),
    "MCP_AUTHORIZATION_SERVERS": ("authorization_servers", ()),
    "MCP_VIEW_ORIGINS": (
        "view_origins",
        (
            "https://*.runflow.io",
            "https://storage.googleapis.com",
            "https://*.amazonaws.com",
            "https://*.r2.cloudflarestorage.com",
        ),
    ),
    "MCP_LOG_LEVEL": ("log_level", "info"),
    "MCP_LOG_FORMAT": ("log_format", "auto"),
    "RUNFLOW_API_URL": ("api_url", "https://api.runflow.io"),
    "RUNFLOW_CATALOG_URL": ("catalog_url", "https://www.runflow.io/models-catalog.json"),
    "RUNFLOW_SKILL_URL": ("skill_url", SKILL_URL),
    "RUNFLOW_TIMEOUT_MS": ("upstream_timeout", 30.0),
    "HTTPS_PROXY": ("https_proxy", None),
    "HTTP_PROXY": ("http_proxy", None),
    "NO_PROXY": ("no_proxy", ()),
    "SSL_CERT_FILE": ("ssl_cert_file", ""),
}

#: One wrong value for each setting, with a word of the expectation in its error.
WRONG: dict[str, tuple[str, str]] = {
    "MCP_PORT": ("80b", "whole number"),
    "MCP_PUBLIC_URL": ("mcp.example.com", "origin"),
    "MCP_ALLOWED_HOSTS": ("https://example.com", "host:port"),
    "MCP_ALLOWED_ORIGINS": ("example.com", "origin"),
    "MCP_MAX_BODY_BYTES": ("256k", "whole number"),
    "MCP_ACCEPTED_KEY_PREFIXES": ("rf live", "prefixes"),
    "MCP_POLL_TIMEOUT_MS": ("0", "whole number"),
    "MCP_RATE_LIMIT_WINDOW_MS": ("1m", "whole number"),
    "MCP_RATE_LIMIT_PRE_AUTH_PER_IP": ("-1", "whole number"),
    "MCP_RATE_LIMIT_PER_IP": ("none", "whole number"),
    "MCP_RATE_LIMIT_PER_KEY": ("1e3", "whole number"),
    "MCP_RATE_LIMIT_STORE": ("postgres://db", "memory://"),
    "MCP_TRUSTED_PROXIES": ("10.0.0.0/33", "CIDR"),
    "MCP_MAX_WAITS": ("0", "whole number"),
    "MCP_MAX_WAITS_PER_KEY": ("0", "whole number"),
    "MCP_CATALOG_TTL_MS": ("5.0", "whole number"),
    "MCP_SHUTDOWN_GRACE_MS": ("ten", "whole number"),
    "MCP_WORKERS": ("auto", "whole number"),
    "MCP_METRICS_PORT": ("on", "whole number"),
    "MCP_METRICS_HOST": ("127.0.0.1:9100", "address"),
    "MCP_AUTHORIZATION_SERVERS": ("auth.example.com", "issuer"),
    "MCP_VIEW_ORIGINS": ("https://media.example.com/outputs", "origins"),
    "MCP_LOG_LEVEL": ("loud", "info"),
    "MCP_LOG_FORMAT": ("xml", "json"),
    "RUNFLOW_API_URL": ("ftp://api.runflow.io", "http"),
    "RUNFLOW_CATALOG_URL": ("catalog.json", "http"),
    "RUNFLOW_SKILL_URL": ("/skill.md", "http"),
    "RUNFLOW_TIMEOUT_MS": ("-30000", "whole number"),
    "HTTPS_PROXY": ("socks5://proxy.example.com:1080", "http://"),
    "HTTP_PROXY": ("socks5://proxy.example.com:1080", "http://"),
    "SSL_CERT_FILE": ("/no/such/file.pem", "PEM"),
}


def read(**environ: str) -> Config:
    return Config.from_mapping(environ)


def errors_of(**environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(**environ)
    assert str(caught.value) == "\n".join(caught.value.errors)
    return caught.value.errors


# Defaults


@pytest.mark.parametrize(("attribute", "default"), DEFAULTS.values(), ids=DEFAULTS)
def test_a_setting_that_is_not_set_has_its_documented_default(attribute: str, default: object) -> None:
    assert getattr(read(), attribute) == default


def test_no_setting_is_undocumented() -> None:
    settings = [row[0] for row in read().table()]
    assert settings == list(DEFAULTS), "write the setting's promised default into DEFAULTS of tests/test_config.py"


@pytest.mark.parametrize("empty", ["", "  ", "\t"])
@pytest.mark.parametrize("name", [name for name in DEFAULTS if name != "RUNFLOW_SKILL_URL"])
def test_an_empty_value_is_the_default(name: str, empty: str) -> None:
    assert read(**{name: empty}) == read()


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_skill_url_means_the_bundled_skill_alone(empty: str) -> None:
    assert read(RUNFLOW_SKILL_URL=empty).skill_url == ""


def test_white_space_around_a_value_is_ignored() -> None:
    assert read(MCP_PORT=" 9000 ", RUNFLOW_API_URL=" http://localhost:1 ").port == 9000


def test_unrelated_environment_variables_are_ignored() -> None:
    assert read(PATH="/bin", PORT="x", MCP_UNHEARD_OF="x") == read()


# Wrong values


@pytest.mark.parametrize(("name", "value", "expected"), [(name, *wrong) for name, wrong in WRONG.items()], ids=WRONG)
def test_a_wrong_value_is_named_with_what_was_expected(name: str, value: str, expected: str) -> None:
    [error] = errors_of(**{name: value})
    assert error.startswith(f"{name}=")
    assert value in error
    assert expected in error.partition("expected")[2]


@law
@given(st.sets(st.sampled_from(sorted(WRONG)), min_size=1))
def test_every_wrong_setting_is_listed_at_once(names: set[str]) -> None:
    errors = errors_of(**{name: WRONG[name][0] for name in names})
    assert sorted(error.partition("=")[0] for error in errors) == sorted(names)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("MCP_PORT", 1, 65535),
        ("MCP_POLL_TIMEOUT_MS", 1, 86_400_000),
        ("MCP_RATE_LIMIT_WINDOW_MS", 1000, 86_400_000),
        ("MCP_MAX_WAITS", 1, 100_000),
        ("MCP_SHUTDOWN_GRACE_MS", 0, 3_600_000),
        ("MCP_WORKERS", 0, 256),
        ("MCP_METRICS_PORT", 0, 65535),
        ("RUNFLOW_TIMEOUT_MS", 100, 600_000),
    ],
)
def test_a_number_outside_its_bounds_is_refused_with_the_bounds(name: str, low: int, high: int) -> None:
    for value in (low, high):
        assert str(value) in [row[3] for row in read(**{name: str(value)}).table()]
    for value in (low - 1, high + 1):
        [error] = errors_of(**{name: str(value)})
        assert f"from {low} to {high}" in error


@pytest.mark.parametrize("value", ["8080.0", "0x50", "8_080", "+80", "９" * 4, "9" * 30, "80 80"])
def test_a_number_is_plain_decimal_digits(value: str) -> None:
    assert len(errors_of(MCP_PORT=value)) == 1


@pytest.mark.parametrize("name", ["MCP_LOG_LEVEL", "MCP_LOG_FORMAT"])
def test_a_choice_is_accepted_in_any_case(name: str) -> None:
    value = {"MCP_LOG_LEVEL": "DEBUG", "MCP_LOG_FORMAT": "Json"}[name]
    assert value.lower() in [row[3] for row in read(**{name: value}).table()]


# Secrets


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:s3cret@cache:6379/0", "redis://:***@cache:6379/0"),
        ("rediss://mcp:s3cret@cache", "rediss://mcp:***@cache"),
        ("redis://cache:6379", "redis://cache:6379"),
        ("memory://", "memory://"),
    ],
)
def test_a_password_in_a_url_is_masked(url: str, shown: str) -> None:
    assert mask_url_password(url) == shown


@pytest.mark.parametrize(
    "store",
    [
        "redis://:s3cret@cache:6379/0",
        "redis://mcp:s3cret@cache",
        "redis://:s3cret@more@cache:6379",
        "redis://:more@s3cret@cache:6379",
        "redis://:pass/s3cret@cache:6379",
    ],
)
def test_the_password_of_the_store_is_never_shown(store: str) -> None:
    """Whether the URL is taken or refused."""
    try:
        shown = str(read(MCP_RATE_LIMIT_STORE=store).table())
    except ConfigError as refused:
        shown = str(refused)
    assert "s3cret" not in shown


@pytest.mark.parametrize(
    "store",
    [
        "redis:/mcp:s3cret@cache",
        "redis:mcp:s3cret@cache",
        "mcp:s3cret@cache:6379",
        "http://mcp:s3cret@cache",
        "redis//:s3cret@cache",
    ],
)
def test_the_password_of_a_misspelt_store_is_masked_too(store: str) -> None:
    [error] = errors_of(MCP_RATE_LIMIT_STORE=store)
    assert "s3cret" not in error


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "HTTP_PROXY", "https_proxy"])
@pytest.mark.parametrize(
    "value",
    [
        "http://user:s3cret@proxy.example.com:3128",
        "user:s3cret@proxy.example.com:3128",
        "http://s3cret@proxy.example.com",
        "https://user:s3cret%2F@proxy.example.com",
        "socks5://user:s3cret@proxy.example.com",
        "http://user:s3cret@proxy.example.com:99999",
        "http://user:s3cret@proxy.example.com/path",
    ],
)
def test_the_password_of_a_proxy_is_never_shown(name: str, value: str) -> None:
    """Whether the URL is taken or refused."""
    try:
        config = read(**{name: value})
        shown = f"{config.table()}{config!r}{config.egress!r}"
        assert "***@proxy.example.com" in shown
    except ConfigError as refused:
        shown = str(refused)
    assert "s3cret" not in shown


def test_a_config_can_be_printed_without_its_password() -> None:
    config = read(MCP_RATE_LIMIT_STORE="redis://:s3cret@cache")
    assert "s3cret" not in repr(config)
    assert "s3cret" not in str(config)


@pytest.mark.parametrize("name", ["RUNFLOW_API_URL", "RUNFLOW_CATALOG_URL"])
def test_the_password_of_a_wrong_url_is_masked(name: str) -> None:
    [error] = errors_of(**{name: "ftp://mcp:s3cret@runflow.example"})
    assert "s3cret" not in error


# URLs


@pytest.mark.parametrize(
    ("value", "origin"),
    [
        ("https://mcp.example.com", "https://mcp.example.com"),
        ("https://mcp.example.com/", "https://mcp.example.com"),
        ("HTTPS://MCP.Example.com", "https://mcp.example.com"),
        ("http://10.0.0.7:9000", "http://10.0.0.7:9000"),
        ("http://[::1]:9000", "http://[::1]:9000"),
    ],
)
def test_the_public_url_is_an_origin(value: str, origin: str) -> None:
    assert read(MCP_PUBLIC_URL=value).public_url == origin


@pytest.mark.parametrize(
    "value",
    [
        "mcp.example.com",
        "https://",
        "https://:443",
        "https://mcp.example.com/mcp",
        "https://mcp.example.com?x=1",
        "https://mcp.example.com#x",
        "https://user@mcp.example.com",
        "https://mcp.example.com:0",
        "https://mcp.example.com:70000",
        "https://mcp example.com",
        "https://mcp.example.com\n",
        "ws://mcp.example.com",
        "https://[::1",
        "https://*",
        "https://*.example.com",
        "https://mcp.example.com:",
        "https://mcp.example.com,",
        "https://b\u00fccher.example",
    ],
)
def test_a_public_url_that_is_not_an_origin_is_refused(value: str) -> None:
    if value != value.strip():
        value += "x"
    assert len(errors_of(MCP_PUBLIC_URL=value)) == 1


def test_the_api_url_loses_its_trailing_slash() -> None:
    assert read(RUNFLOW_API_URL="http://localhost:8090/").api_url == "http://localhost:8090"


@pytest.mark.parametrize(
    "value",
    ["https://api.runflow.io?x=1", "https://api.runflow.io#x", "https://user:pass@api.runflow.io", "https://a b"],
)
def test_an_api_url_that_could_not_be_called_is_refused(value: str) -> None:
    """Credentials in it would collide with every caller's bearer."""
    assert len(errors_of(RUNFLOW_API_URL=value)) == 1


@pytest.mark.parametrize(
    ("value", "base"),
    [
        ("https://api.runflow.io/v1", "https://api.runflow.io"),
        ("https://api.runflow.io/v1/", "https://api.runflow.io"),
        ("https://api.runflow.io//v1//", "https://api.runflow.io"),
        ("HTTPS://API.RUNFLOW.IO/V1", "https://api.runflow.io"),
        ("https://api.runflow.io:8443/v1", "https://api.runflow.io:8443"),
        ("http://127.0.0.1:8090/v1", "http://127.0.0.1:8090"),
        ("http://[::1]:8090/v1/", "http://[::1]:8090"),
        ("https://gateway.example.com/runflow", "https://gateway.example.com/runflow"),
        ("https://gateway.example.com/runflow/v1/", "https://gateway.example.com/runflow"),
        ("https://gateway.example.com//team-a//runflow/", "https://gateway.example.com/team-a/runflow"),
    ],
)
def test_a_version_pasted_with_the_api_url_is_removed(value: str, base: str) -> None:
    assert read(RUNFLOW_API_URL=value).api_url == base


@pytest.mark.parametrize(
    "value",
    [
        "api.runflow.io",
        "//api.runflow.io",
        "https:/api.runflow.io",
        "https://api.runflow.io/v1/models",
        "https://api.runflow.io/v1/models/google/nano-banana-2/runs",
        "https://api.runflow.io/v2",
        "https://api.runflow.io/docs",
        "https://www.runflow.io/models",
        "https://api.runflow.io/v1?key=x",
        "https://api.runflow.io/v1#x",
        "https://gateway.example.com/runflow/v1/runs",
        "https://gateway.example.com/v1/v1",
        "https://gateway.example.com/../v1",
        "https://gateway.example.com/a b",
    ],
)
def test_an_api_url_with_another_path_stops_the_start(value: str) -> None:
    [error] = errors_of(RUNFLOW_API_URL=value)
    assert "https://api.runflow.io" in error.partition("expected")[2]


@pytest.mark.parametrize("store", ["memory://", "redis://cache", "rediss://cache:6380/2", "redis://[::1]:6379"])
def test_a_store_may_be_memory_or_a_redis_url(store: str) -> None:
    assert read(MCP_RATE_LIMIT_STORE=store).rate_limit_store == store


@pytest.mark.parametrize("store", ["memory", "memory://x", "redis://", "redis:", "redis://:6379", "valkey://cache"])
def test_any_other_store_is_refused(store: str) -> None:
    assert len(errors_of(MCP_RATE_LIMIT_STORE=store)) == 1


# The result view and authorization servers


@pytest.mark.parametrize(
    ("value", "origins"),
    [
        ("https://media.example.com", ("https://media.example.com",)),
        (
            "https://*.example.com , https://cdn.example.com:8443/",
            ("https://*.example.com", "https://cdn.example.com:8443"),
        ),
        ("HTTPS://Media.Example.com:443", ("https://media.example.com",)),
        ("http://127.0.0.1:8090,http://localhost:9000", ("http://127.0.0.1:8090", "http://localhost:9000")),
        ("https://a.example,https://a.example", ("https://a.example",)),
    ],
)
def test_the_view_loads_media_from_the_origins_of_the_setting(value: str, origins: tuple[str, ...]) -> None:
    assert read(MCP_VIEW_ORIGINS=value).view_origins == origins


@pytest.mark.parametrize(
    "value",
    [
        "*",
        "https://*",
        "https://*.com",
        "https://*.*.example.com",
        "https://a.*.example.com",
        "https:",
        "data:",
        "'unsafe-inline'",
        "https://a.example 'unsafe-inline'",
        "https://a.example; script-src *",
        "https://a.example/path",
        "https://user@a.example",
        "http://media.example.com",
        "http://*.localhost",
        "media.example.com",
    ],
)
def test_an_invalid_media_origin_is_refused(value: str) -> None:
    """It becomes part of a Content-Security-Policy."""
    assert len(errors_of(MCP_VIEW_ORIGINS=value)) == 1


@pytest.mark.parametrize(
    ("value", "issuers"),
    [
        ("https://auth.example.com", ("https://auth.example.com",)),
        ("https://auth.example.com/", ("https://auth.example.com/",)),
        (
            "https://Auth.example.com/realms/a, https://b.example",
            ("https://Auth.example.com/realms/a", "https://b.example"),
        ),
        ("http://localhost:9000,http://[::1]:9000/x", ("http://localhost:9000", "http://[::1]:9000/x")),
    ],
)
def test_an_issuer_is_kept_as_it_is_written(value: str, issuers: tuple[str, ...]) -> None:
    """Clients compare issuers character by character."""
    assert read(MCP_AUTHORIZATION_SERVERS=value).authorization_servers == issuers


@pytest.mark.parametrize(
    "value",
    [
        "auth.example.com",
        "http://auth.example.com",
        "https://user:secret@auth.example.com",
        "https://auth.example.com?tenant=a",
        "https://auth.example.com?",
        "https://auth.example.com#a",
        "https://auth.example.com/a b",
        "https://",
        "ftp://auth.example.com",
        "https://auth.example.com,nonsense",
    ],
)
def test_an_invalid_issuer_is_refused(value: str) -> None:
    [error] = errors_of(MCP_AUTHORIZATION_SERVERS=value)
    assert "secret" not in error


# Hosts and origins


def test_the_default_hosts_follow_the_port() -> None:
    assert read(MCP_PORT="9000").allowed_hosts == ("localhost:9000", "127.0.0.1:9000", "[::1]:9000")


def test_the_public_host_is_always_allowed() -> None:
    public = "https://mcp.example.com"
    assert read(MCP_PUBLIC_URL=public).allowed_hosts[-1] == "mcp.example.com"
    assert len(read(MCP_PUBLIC_URL=public).allowed_hosts) == 4
    only = read(MCP_PUBLIC_URL=public, MCP_ALLOWED_HOSTS="a.example,b.example:81")
    assert only.allowed_hosts == ("a.example", "b.example:81", "mcp.example.com")


def test_a_public_host_that_is_also_allowed_is_listed_once() -> None:
    config = read(MCP_PUBLIC_URL="https://mcp.example.com", MCP_ALLOWED_HOSTS="MCP.example.com")
    assert config.allowed_hosts == ("mcp.example.com",)


@pytest.mark.parametrize(
    ("settings", "host"),
    [
        ({"MCP_PORT": "80"}, "localhost"),
        ({"MCP_PUBLIC_URL": "https://mcp.example.com:443"}, "mcp.example.com"),
        ({"MCP_PUBLIC_URL": "http://mcp.example.com:80"}, "mcp.example.com"),
    ],
    ids=str,
)
def test_a_host_with_a_default_port_is_allowed_without_it(settings: dict[str, str], host: str) -> None:
    assert host in expand_hosts(read(**settings).allowed_hosts)


def test_configured_hosts_replace_the_defaults() -> None:
    assert read(MCP_ALLOWED_HOSTS=" A.example , ,b.example:81 ").allowed_hosts == ("a.example", "b.example:81")


@pytest.mark.parametrize(
    "value",
    [
        "http://a.example",
        "a.example/mcp",
        "*.example.com",
        "a b",
        "a:port",
        "[::1",
        "a,b/c",
        "user@a",
        "a:0",
        "a:65536",
        "[::1]:99999",
        "a:",
    ],
)
def test_a_host_entry_that_is_not_host_and_port_is_refused(value: str) -> None:
    assert len(errors_of(MCP_ALLOWED_HOSTS=value)) == 1


def test_every_host_can_be_allowed() -> None:
    config = read(MCP_ALLOWED_HOSTS="*")
    assert config.allowed_hosts == ("*",)


def test_origins_come_from_the_allowed_hosts() -> None:
    config = read(MCP_ALLOWED_HOSTS="a.example:81", MCP_PUBLIC_URL="https://mcp.example.com")
    assert set(config.allowed_origins) == {
        "http://a.example:81",
        "https://a.example:81",
        "http://mcp.example.com",
        "https://mcp.example.com",
    }


def test_configured_origins_replace_the_derived_ones() -> None:
    config = read(MCP_ALLOWED_ORIGINS="https://App.example.com/, http://localhost:6274")
    assert config.allowed_origins == ("https://app.example.com", "http://localhost:6274")


@pytest.mark.parametrize(
    ("value", "origin"),
    [
        ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
        ("moz-extension://0A1B2C3D-0000-4000", "moz-extension://0a1b2c3d-0000-4000"),
        ("vscode-webview://1a2b3c/", "vscode-webview://1a2b3c"),
        ("app://-", "app://-"),
        ("app://obsidian.md", "app://obsidian.md"),
        ("tauri://localhost:1420", "tauri://localhost:1420"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("custom+scheme.1://[::1]:80", "custom+scheme.1://[::1]:80"),
        ("*", "*"),
    ],
)
def test_an_allowed_origin_has_any_scheme(value: str, origin: str) -> None:
    assert read(MCP_ALLOWED_ORIGINS=value).allowed_origins == (origin,)
    if value != "*":
        assert len(errors_of(MCP_PUBLIC_URL=value)) == 1


@pytest.mark.parametrize(
    "value",
    [
        "null",
        "NULL",
        "app.example.com",
        "https://app.example.com/x",
        "https://a.example,null",
        "chrome-extension://abc/page.html",
        "chrome-extension://abc?x=1",
        "chrome-extension://",
        "chrome-extension:abc",
        "://abc",
        "app://me@host",
        "app://host:port",
        "1app://host",
        "file://",
        "app://a b",
        "app://*",
        "app://host:0",
        "app://host:65536",
        "https://*",
        "https://*.example.com",
        "https://a.example,https://*.example.com:8443",
        "http://localhost:*",
    ],
)
def test_an_origin_entry_is_an_origin(value: str) -> None:
    assert len(errors_of(MCP_ALLOWED_ORIGINS=value)) == 1


# Lists


def test_key_prefixes_are_written_with_or_without_the_underscore() -> None:
    assert read(MCP_ACCEPTED_KEY_PREFIXES="rf_live_, rf_test").accepted_key_prefixes == ("rf_live", "rf_test")


@pytest.mark.parametrize("value", [",", "_", "rf live", "rf-live", "rf_live,Bearer "])
def test_a_key_prefix_is_letters_and_digits(value: str) -> None:
    if value.startswith("rf_live,"):
        value += "x y"
    assert len(errors_of(MCP_ACCEPTED_KEY_PREFIXES=value)) == 1


def test_trusted_proxies_are_addresses_and_ranges_of_both_families() -> None:
    config = read(MCP_TRUSTED_PROXIES="10.0.0.0/8, 127.0.0.1,::1/128,10.1.2.3/16")
    assert config.trusted_proxies == (
        ipaddress.ip_network("10.0.0.0/8"),
        ipaddress.ip_network("127.0.0.1/32"),
        ipaddress.ip_network("::1/128"),
        ipaddress.ip_network("10.1.0.0/16"),
    )


# Proxies


def test_proxy_settings_are_read_in_both_cases_and_the_lower_case_wins() -> None:
    config = read(
        HTTPS_PROXY="http://a:1", https_proxy="http://b:2", HTTP_PROXY="http://c:3", http_proxy="", no_proxy="x"
    )
    assert (str(config.https_proxy), str(config.http_proxy), config.no_proxy) == ("http://b:2", "http://c:3", ("x",))


def test_a_wrong_proxy_is_named_as_it_was_written() -> None:
    [error] = errors_of(https_proxy="socks5://proxy")
    assert error.startswith("https_proxy=")


# The table, and typos


def test_the_table_has_type_default_value_and_help_of_every_setting() -> None:
    for name, kind, default, value, help_ in read().table():
        assert name in DEFAULTS
        assert kind
        assert value == default
        assert help_.endswith(".")
        assert "\n" not in help_


def test_the_table_shows_current_values_with_secrets_masked() -> None:
    config = read(MCP_PORT="9000", MCP_RATE_LIMIT_STORE="redis://:s3cret@cache", MCP_TRUSTED_PROXIES="10.0.0.0/8,::1")
    values = {row[0]: row[3] for row in config.table()}
    assert values["MCP_PORT"] == "9000"
    assert values["MCP_RATE_LIMIT_STORE"] == "redis://:***@cache"
    assert values["MCP_TRUSTED_PROXIES"] == "10.0.0.0/8,::1/128"


def test_a_config_is_immutable() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        read().port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("MCP_ALLOWED_HOST", "MCP_ALLOWED_HOSTS"),
        ("MCP_POLL_TIMEOUT", "MCP_POLL_TIMEOUT_MS"),
        ("RUNFLOW_URL_API", None),
        ("MCP_RATE_LIMIT_PER_KEYS", "MCP_RATE_LIMIT_PER_KEY"),
        ("RUNFLOW_APIURL", "RUNFLOW_API_URL"),
        ("MCP_PORT", None),
        ("MCP_TOOL_TIMEOUT", None),
        ("RUNFLOW_API_KEY", None),
        ("XMCP_ALLOWED_HOST", None),
    ],
)
def test_a_name_close_to_a_setting_is_reported_as_a_likely_typo(name: str, meant: str | None) -> None:
    found = likely_typos({name: "x", "PATH": "/bin"})
    if meant is None and name != "RUNFLOW_API_KEY":
        assert found == []
    elif meant is not None:
        assert found == [(name, meant)]
