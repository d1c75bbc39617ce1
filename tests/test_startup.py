"""What a start of the server costs: modules that it does not use, collections of garbage, certificates read twice."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.eventually import PATIENCE, eventually
from tests.import_graph import is_below
from tests.runflow.certificate_authority import Authority
from tests.server_process import HOST, ROOT, ServerProcess, clean_environment
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
#: Serves; writes a line for each collection since the server itself is imported, and when the collector is turned on.
WATCHED = """
import gc, sys
from runflow_mcp.cli.main import main

def report(phase, info):
    if phase == "start" and "runflow_mcp.app" in sys.modules:
        print("collection", file=sys.stderr, flush=True)

def enable():
    turn_on()
    print("collector on", file=sys.stderr, flush=True)

gc.callbacks.append(report)
turn_on, gc.enable = gc.enable, enable
sys.exit(main(["serve", *sys.argv[1:]]))
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
def test_the_garbage_collector_is_off_while_a_server_starts_and_on_while_it_serves(
    tmp_path: Path, workers: int
) -> None:
    """Otherwise all that was imported would be visited time and again while more is imported."""
    with serving(tmp_path, "-c", WATCHED, MCP_WORKERS=str(workers)) as server:
        processes = 1 if workers == 1 else 1 + workers
        eventually(lambda: server.output.splitlines().count("collector on") == processes)
        server.wait_until_ready()
        assert "collection" not in server.output.splitlines()


#: Sends a request to argv[1], trusting the certificates of the file argv[2]; writes whether the file was loaded.
REQUEST = """
import asyncio, ssl, sys
from runflow_mcp.runflow.api.transport import open_session
from runflow_mcp.settings.egress import Egress

load = ssl.SSLContext.load_verify_locations
ssl.SSLContext.load_verify_locations = lambda *args, **kwargs: (print("loaded"), load(*args, **kwargs))

async def main():
    async with open_session(1, Egress(ca_file=sys.argv[2])) as session, session.get(sys.argv[1]) as response:
        print(response.status)

asyncio.run(main())
"""


async def test_certificates_that_the_system_names_are_not_loaded_again(tmp_path: Path) -> None:
    """Those of SSL_CERT_FILE are loaded with aiohttp, which takes 50 ms; a file of another place is added."""
    authority = Authority(tmp_path)
    other = tmp_path / "other.pem"
    other.write_bytes(authority.file.read_bytes())
    environ = {**clean_environment(), "PYTHONPATH": str(ROOT), "SSL_CERT_FILE": str(authority.file)}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, HOST, 0, ssl=authority.server(HOST))
    async with server:
        url = f"https://{HOST}:{server.sockets[0].getsockname()[1]}"
        for ca_file, expected in ((authority.file, "204"), (other, "loaded 204")):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", REQUEST, url, ca_file, env=environ, stdout=subprocess.PIPE
            )
            output, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
            assert output.decode().split() == expected.split()
