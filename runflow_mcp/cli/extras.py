"""The optional packages that a command needs: whether they are installed, and how to install them."""

from importlib.util import find_spec

#: The README's command; the list includes the packages of every extra.
INSTALL_PACKAGES = "pip install --no-deps --only-binary=:all: --require-hashes -r deploy/requirements.txt"
NEEDS_REDIS = f"expected the package redis; install it: {INSTALL_PACKAGES}"
NEEDS_PILLOW = f"The sandbox (extra sandbox) needs Pillow to draw pictures. Install it: {INSTALL_PACKAGES}"


def lacks_redis(store: str) -> bool:
    """Whether this rate-limit store needs the missing package ``redis``."""
    return store != "memory://" and find_spec("redis") is None


def lacks_pillow() -> bool:
    return find_spec("PIL") is None
