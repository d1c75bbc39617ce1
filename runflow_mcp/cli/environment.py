"""The settings of a command: the process environment and the ``.env`` file. The only module that reads either."""

import os
from collections.abc import Mapping
from typing import Any

import attrs
import dotenv

from runflow_mcp.cli import extras, terminal
from runflow_mcp.settings.config import Config, ConfigError, parse_setting
from runflow_mcp.settings.egress import Egress

#: The exit code for settings or arguments that cannot be used.
USAGE_ERROR = 2


def read_environment() -> dict[str, str]:
    """The ``.env`` file of the working directory, overridden by the process environment. Exits if it is unreadable."""
    try:
        from_file = dotenv.dotenv_values(".env", interpolate=False)
    except (OSError, UnicodeDecodeError):
        terminal.print_error("The file .env in this directory cannot be read as UTF-8 text. Nothing was started.")
        raise SystemExit(USAGE_ERROR) from None
    # Proxy variables exist in upper and lower case: when one is set, the file's other spelling must not add to it.
    proxies = {name.lower() for name in os.environ if name.lower().endswith("_proxy")}
    return {
        name: value for name, value in from_file.items() if value is not None and name.lower() not in proxies
    } | dict(os.environ)


def load_config(environ: Mapping[str, str]) -> Config | None:
    """The settings; None, after one message that lists every error, when they cannot be used."""
    try:
        config = Config.from_mapping(environ)
        values = {"MCP_RATE_LIMIT_STORE": config.rate_limit_store, "MCP_METRICS_PORT": str(config.metrics_port)}
        missing = [(name, extras.missing_package(name, value)) for name, value in values.items()]
        if errors := [f"{name}: {expected}" for name, expected in missing if expected]:
            raise ConfigError(errors)
    except ConfigError as error:
        terminal.print_error(
            "These settings are wrong:",
            *(f"  {line}" for line in error.errors),
            "Nothing was started. `runflow-mcp config` explains every setting.",
        )
        return None
    return config


def read_egress(environ: Mapping[str, str]) -> Egress:
    """How a command reaches other machines. Exits if a proxy's setting is wrong; other settings do not matter."""
    ways: dict[str, Any] = {}
    for field in attrs.fields(Config):
        if field.name in ("https_proxy", "http_proxy", "no_proxy"):
            try:
                ways[field.name] = parse_setting(field, environ) or field.default
            except ValueError as error:
                terminal.print_error(f"{field.metadata['name']}: expected {error}.")
                raise SystemExit(USAGE_ERROR) from None
    return Egress(**ways, ca_file=environ.get("SSL_CERT_FILE", ""))
