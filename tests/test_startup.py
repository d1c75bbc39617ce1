"""What a start of the server costs."""

import re
import sys
from pathlib import Path

import pytest

from tests.import_graph import is_below
from tests.server_process import ROOT, ServerProcess, clean_environment
from tests.serving import free_port

pytestmark = pytest.mark.real_time

#: A feature that is off → the modules that are there for it alone.
UNUSED = {
    # ``rich`` itself is listed for an import of it that is refused.
    "output with colours": ("rich.console", "rich.pretty", "pygments", "runflow_mcp.cli.screen"),
    "the skill, which nobody has asked for": ("yaml", "runflow_mcp.runflow.catalog.front_matter"),
    "the sandbox": ("PIL", "runflow_mcp.sandbox", "runflow_mcp.cli.embedded_sandbox"),
    "metrics": ("prometheus_client", "runflow_mcp.observability.counting", "runflow_mcp.observability.metric_memory"),
    "limits in Redis": ("redis", "runflow_mcp.ratelimit.redis"),
    "workers": ("runflow_mcp.workers.parent", "runflow_mcp.workers.channel", "runflow_mcp.cli.serving_workers"),
    "other commands": tuple(
        f"runflow_mcp.cli.{name}"
        for name in ("check", "checking", "connecting", "connect_text", "configuring", "config_report", "simulating")
    ),
}
#: Serves; writes the generation of each collection, and at the end whether the collector is on.
WATCHED = """
import gc, sys
from runflow_mcp.cli.main import main

def report(phase, info):
    if phase == "start":
        print(f"generation {info['generation']}", file=sys.stderr, flush=True)

gc.callbacks.append(report)
code = main(["serve", *sys.argv[1:]])
gc.callbacks.clear()
print("collector", gc.isenabled(), file=sys.stderr, flush=True)
sys.exit(code)
"""


def serving(folder: Path, *options: str, **settings: str) -> ServerProcess:
    """The server with these options of Python; its upstream does not exist."""
    port = free_port()
    nowhere = dict.fromkeys(("RUNFLOW_API_URL", "RUNFLOW_CATALOG_URL", "RUNFLOW_SKILL_URL"), "http://127.0.0.1:1/")
    environ = {**clean_environment(), "PYTHONPATH": str(ROOT), "MCP_PORT": str(port), **nowhere, **settings}
    return ServerProcess([sys.executable, *options], folder, port, environ)


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The modules that a server with default settings has imported once it is ready."""
    with serving(tmp_path_factory.mktemp("imports"), "-X", "importtime", "-m", "runflow_mcp", "serve") as server:
        server.wait_until_ready()
        return set(re.findall(r"^import time:.*\| *(\S+)$", server.output, re.MULTILINE))


@pytest.mark.parametrize("names", UNUSED.values(), ids=UNUSED)
def test_a_server_does_not_import_what_only_a_feature_that_is_off_needs(
    imported: set[str], names: tuple[str, ...]
) -> None:
    assert "runflow_mcp.serve" in imported
    assert not [name for name in imported if is_below(name, names)]


@pytest.mark.parametrize("workers", [1, 2])
def test_garbage_is_collected_once_at_the_start_and_as_needed_afterwards(tmp_path: Path, workers: int) -> None:
    """Otherwise all that is imported would be visited time and again while more is imported."""
    processes = 1 if workers == 1 else 1 + workers
    with serving(tmp_path, "-c", WATCHED, MCP_WORKERS=str(workers)) as server:
        server.wait_until_ready()
        assert server.stop() == 0
        lines = server.output.splitlines()
    assert lines.count("generation 2") == processes
    assert lines.count("collector True") == processes
