"""Valid settings that are probably a mistake are warned about; ordinary ones are not."""

import attrs
import pytest

from runflow_mcp.open_files import needed
from runflow_mcp.settings.config import Config
from runflow_mcp.settings.warnings import setting_warnings

TLS = {"MCP_PUBLIC_URL": "https://mcp.example.com"}

QUESTIONABLE: list[tuple[str, dict[str, str], str]] = [
    ("MCP_POLL_TIMEOUT_MS", {"MCP_POLL_TIMEOUT_MS": "600"}, "milliseconds"),
    ("MCP_POLL_TIMEOUT_MS", {"MCP_POLL_TIMEOUT_MS": "9999"}, "polling_timeout"),
    ("MCP_TRUSTED_PROXIES", {"MCP_TRUSTED_PROXIES": "0.0.0.0/0"}, "it can claim any address"),
    ("MCP_TRUSTED_PROXIES", {"MCP_TRUSTED_PROXIES": "10.0.0.1,::/0"}, "it can claim any address"),
    ("MCP_TRUSTED_PROXIES", {"MCP_TRUSTED_PROXIES": "0.0.0.0/1,128.0.0.0/1"}, "nearly every client"),
    ("MCP_TRUSTED_PROXIES", {"MCP_TRUSTED_PROXIES": "2000::/3"}, "nearly every client"),
    ("MCP_TRUSTED_PROXIES", {"MCP_TRUSTED_PROXIES": "::ffff:0.0.0.0/96"}, "nearly every client"),
    ("MCP_HOST", {"MCP_HOST": "0.0.0.0"}, "unencrypted"),  # noqa: S104
    ("MCP_HOST", {"MCP_HOST": "::"}, "unencrypted"),
    ("MCP_HOST", {"MCP_HOST": "192.0.2.7"}, "unencrypted"),
    ("MCP_HOST", {"MCP_HOST": "mcp.example.com"}, "unencrypted"),
    ("MCP_PUBLIC_URL", {"MCP_PUBLIC_URL": "http://mcp.example.com"}, "unencrypted"),
    ("MCP_ALLOWED_HOSTS", {"MCP_ALLOWED_HOSTS": "*"}, "rebinding"),
    ("MCP_ALLOWED_ORIGINS", {"MCP_ALLOWED_ORIGINS": "*"}, "any web page"),
    ("MCP_RATE_LIMIT_WINDOW_MS", {"MCP_RATE_LIMIT_WINDOW_MS": "1000"}, "milliseconds"),
    ("MCP_CATALOG_TTL_MS", {"MCP_CATALOG_TTL_MS": "300"}, "milliseconds"),
    ("MCP_SHUTDOWN_GRACE_MS", {"MCP_SHUTDOWN_GRACE_MS": "0"}, "ends waiting calls"),
    ("MCP_SHUTDOWN_GRACE_MS", {"MCP_SHUTDOWN_GRACE_MS": "10"}, "milliseconds"),
    ("RUNFLOW_TIMEOUT_MS", {"RUNFLOW_TIMEOUT_MS": "100"}, "milliseconds"),
    ("RUNFLOW_TIMEOUT_MS", {"RUNFLOW_TIMEOUT_MS": "60000", "MCP_POLL_TIMEOUT_MS": "30000"}, "MCP_POLL_TIMEOUT_MS"),
    ("MCP_MAX_BODY_BYTES", {"MCP_MAX_BODY_BYTES": "67108864"}, "memory"),
    ("MCP_WORKERS", {"MCP_WORKERS": "2"}, "rate limits are per process"),
    ("RUNFLOW_API_URL", {"RUNFLOW_API_URL": "http://api.runflow.io"}, "unencrypted"),
    ("RUNFLOW_API_URL", {"RUNFLOW_API_URL": "http://10.0.0.7:8090"}, "unencrypted"),
]
ORDINARY: list[dict[str, str]] = [
    {},
    {"MCP_HOST": "0.0.0.0", **TLS},  # noqa: S104
    {"MCP_HOST": "::", **TLS},
    {"MCP_HOST": "::1"},
    {"MCP_HOST": "localhost"},
    {"MCP_HOST": "127.0.0.2"},
    {"MCP_PUBLIC_URL": "http://localhost:8080"},
    {"MCP_PUBLIC_URL": "http://127.0.0.1:8080"},
    {"MCP_TRUSTED_PROXIES": "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7,127.0.0.1,::1"},
    {"MCP_POLL_TIMEOUT_MS": "60000"},
    {"MCP_RATE_LIMIT_PER_KEY": "10"},
    {"MCP_WORKERS": "4", "MCP_RATE_LIMIT_STORE": "redis://127.0.0.1:6379/0"},
    {"RUNFLOW_API_URL": "http://127.0.0.1:8090"},
    {"RUNFLOW_API_URL": "http://localhost:8090"},
    {"RUNFLOW_API_URL": "http://[::1]:8090"},
]


@pytest.mark.parametrize(("name", "settings", "why"), QUESTIONABLE, ids=[str(case[1]) for case in QUESTIONABLE])
def test_a_questionable_setting_is_warned_about(name: str, settings: dict[str, str], why: str) -> None:
    [warning] = setting_warnings(Config.from_mapping(settings))
    assert warning.setting == name
    assert why in warning.why
    assert warning.fix


@pytest.mark.parametrize("settings", ORDINARY, ids=str)
def test_an_ordinary_setting_is_not_warned_about(settings: dict[str, str]) -> None:
    assert setting_warnings(Config.from_mapping(settings)) == []


def test_several_questionable_settings_are_warned_about_at_once() -> None:
    config = Config.from_mapping({"MCP_HOST": "::", "MCP_TRUSTED_PROXIES": "::/0", "MCP_SHUTDOWN_GRACE_MS": "0"})
    assert len(setting_warnings(config)) == 3


@pytest.mark.parametrize(("open_files", "warned"), [(256, True), (10_255, True), (10_256, False), (1 << 20, False)])
def test_a_limit_of_open_files_below_the_waits_is_warned_about(open_files: int, *, warned: bool) -> None:
    config = Config()
    found = setting_warnings(config, open_files=open_files, files_needed=needed(config.max_waits))
    assert [warning.setting for warning in found] == ["MCP_MAX_WAITS"] * warned
    assert all(str(open_files) in warning.why for warning in found)


def test_a_warning_shows_no_password() -> None:
    found = setting_warnings(Config.from_mapping({"MCP_HOST": "::", "MCP_RATE_LIMIT_STORE": "redis://:geheim@cache"}))
    assert "geheim" not in str([attrs.asdict(warning) for warning in found])
