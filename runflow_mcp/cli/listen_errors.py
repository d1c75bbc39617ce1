"""Why an address could not be bound, and what to do about it: one line. Pure."""

import errno
import os

from runflow_mcp.settings.config import Config

#: A port to propose, and another if that is the one in use.
_FREE_PORTS = (9000, 9001)
#: Errors whose fix is another port; any other is about the address.
_ABOUT_THE_PORT = (errno.EADDRINUSE, errno.EACCES, errno.EPERM)


def explain(error: OSError, config: Config) -> str:
    """The cause and its fix, for the server's own port."""
    host = f"[{config.host}]" if ":" in config.host else config.host
    port = config.port
    if error.errno == errno.EADDRINUSE:
        proposed = _FREE_PORTS[port == _FREE_PORTS[0]]
        fix = f"Stop the program that uses this port, or set MCP_PORT={proposed} (make run PORT={proposed})."
    elif error.errno in _ABOUT_THE_PORT:
        fix = "This user may not use ports below 1024: set MCP_PORT to a higher one (make run PORT=8080)."
    else:
        fix = "Set MCP_HOST to an address of this machine, such as 127.0.0.1."
    return f"Cannot listen on {host}:{port}: {reason(error)}. {fix}"


def explain_metrics(error: OSError, config: Config) -> str:
    """The cause and its fix, for the port of the metrics."""
    host = f"[{config.metrics_host}]" if ":" in config.metrics_host else config.metrics_host
    setting = "MCP_METRICS_PORT" if error.errno in _ABOUT_THE_PORT else "MCP_METRICS_HOST"
    fix = f"Change {setting}, or set MCP_METRICS_PORT=0 to serve no metrics."
    return f"Cannot listen on {host}:{config.metrics_port} for the metrics: {reason(error)}. {fix}"


def reason(error: OSError) -> str:
    """The system's own text; asyncio wraps it in a sentence that repeats the address."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror or error)
