"""The optional packages that a command needs: whether they are installed, and how to install them."""

from importlib.util import find_spec

#: The command of deploy/README.md; the list includes the packages of every extra.
INSTALL_PACKAGES = "pip install --no-deps --only-binary=:all: --require-hashes -r deploy/requirements.txt"
NEEDS_PILLOW = f"The sandbox (extra sandbox) needs Pillow to draw pictures. Install it: {INSTALL_PACKAGES}"


#: setting → the value that needs no package, the package that every other value needs, and its module.
_NEEDED_BY = {
    "MCP_RATE_LIMIT_STORE": ("memory://", "redis", "redis"),
    "MCP_METRICS_PORT": ("0", "prometheus-client (extra metrics)", "prometheus_client"),
}


def missing_package(setting: str, value: str) -> str | None:
    """What is expected for this value of a setting, and how to install it; None when nothing is missing."""
    plain_value, package, module = _NEEDED_BY.get(setting, (value, "", ""))
    if value == plain_value or find_spec(module) is not None:
        return None
    return f"expected the package {package}; install it: {INSTALL_PACKAGES}"


def lacks_pillow() -> bool:
    return find_spec("PIL") is None
