"""``runflow-mcp check`` through a real nginx that is set up as people get it wrong, and through one that is not."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from runflow_mcp.cli.check import check
from runflow_mcp.cli.check_report import Collected, Step
from tests.required_programs import require
from tests.scripted_sandbox import ScriptedSandbox
from tests.server_process import HOST, ServerProcess, clean_environment
from tests.serving import INPUT, KEY, MODEL, Serve, free_port
from tests.virtual_time import VirtualClock

pytestmark = pytest.mark.real_time

#: Path before /mcp → what nginx does there. ``$replica`` is the server's address.
LOCATIONS = {
    "right": "proxy_pass http://$replica/mcp; proxy_buffering off; proxy_set_header Host $http_host;",
    # The server asks nginx not to buffer; these ignore it, as proxies do that know nothing of the header. HTTP/1.0 is
    # nginx's default. With 1.1 and without gzip, nginx passes the parts of an answer on although it buffers.
    "buffered": "proxy_http_version 1.0; proxy_pass http://$replica/mcp; proxy_set_header Host $http_host; "
    "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;",
    "compressed": "gzip on; gzip_types text/event-stream; gzip_proxied any; proxy_pass http://$replica/mcp; "
    "proxy_set_header Host $http_host; proxy_ignore_headers X-Accel-Buffering;",
    "no-host": "proxy_pass http://replicas/mcp;",
    "no-key": 'proxy_pass http://$replica/mcp; proxy_set_header Host $http_host; proxy_set_header Authorization "";',
    "no-mcp-headers": "proxy_pass http://$replica/mcp; proxy_set_header Host $http_host; "
    'proxy_set_header MCP-Protocol-Version ""; proxy_set_header Mcp-Method "";',
    "moved": "return 308 /right/mcp;",
    "login": "return 302 https://sso.example.com/login?next=mcp;",
    "page": "default_type text/html; return 200 '<!doctype html><title>Welcome</title>';",
    "down": "proxy_pass http://$closed/mcp;",
}


@attrs.frozen
class Proxy:
    """A running nginx: its address, and the port where it looks for the server."""

    origin: str
    replica: int


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    binary = require("nginx")
    folder = tmp_path_factory.mktemp("proxies")
    port, replica = free_port(), free_port()
    (folder / "nginx.conf").write_text(nginx_conf(folder, port, replica))
    command = [binary, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
    with ServerProcess(command, folder, port, clean_environment(), ready_path=None) as nginx:
        nginx.wait_until_ready()
        yield Proxy(nginx.origin, replica)


@pytest.fixture
def sandbox(clock: VirtualClock) -> ScriptedSandbox:
    """Runs take 1 to 1.5 s, so that the first poll, after 2 s, finds them ended."""
    return ScriptedSandbox(clock=clock, speed=4)


@pytest.fixture
async def origin(proxy: Proxy, serve: Serve) -> str:
    """The address of nginx, in front of a server."""
    await serve(MCP_PORT=str(proxy.replica), MCP_PUBLIC_URL=proxy.origin)
    return proxy.origin


def nginx_conf(folder: Path, port: int, replica: int) -> str:
    user = "user root;" if os.geteuid() == 0 else ""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = " ".join(f"{kind}_temp_path {folder / kind};" for kind in kinds)
    locations = "\n".join(f"location = /{name}/mcp {{ {rules} }}" for name, rules in LOCATIONS.items())
    locations = locations.replace("$replica", f"{HOST}:{replica}").replace("$closed", f"{HOST}:{free_port()}")
    return f"""
        {user} daemon off; pid {folder / "nginx.pid"}; error_log {folder / "error.log"};
        events {{ worker_connections 256; }}
        http {{
            {places} access_log off; proxy_http_version 1.1;
            upstream replicas {{ server {HOST}:{replica}; }}
            server {{ listen {HOST}:{port}; {locations} }}
        }}
    """


async def steps_of(url: str, *, generate: bool = False) -> list[Step]:
    collected = Collected()
    await check(url, KEY, (MODEL, INPUT) if generate else None, collected)
    return collected.steps


async def test_a_proxy_that_passes_everything_on_is_accepted(origin: str) -> None:
    steps = await steps_of(f"{origin}/right/mcp", generate=True)
    assert [step for step in steps if not step.ok] == []
    assert steps[-1].step == "generate"


async def test_a_proxy_that_buffers_is_found_before_a_run_is_paid_for(origin: str) -> None:
    """Side by side, since each takes as long as a step may."""
    checks = (steps_of(f"{origin}/{name}/mcp", generate=True) for name in ("buffered", "compressed"))
    for *before, last in await asyncio.gather(*checks):
        assert all(step.ok for step in before)
        assert (last.step, last.ok) == ("stream", False)
        assert last.detail == "Events arrive late: a proxy between here and the server buffers the stream."
        assert "proxy_buffering off" in (last.fix or "")


@pytest.mark.parametrize(
    ("name", "step", "cause", "fix"),
    [
        ("no-host", "initialize", "HTTP 403 host_rejected", "MCP_ALLOWED_HOSTS"),
        ("no-key", "initialize", "a proxy on the way removes the Authorization header", "pass the header on"),
        ("no-mcp-headers", "server/discover", "error -32020", "MCP-Protocol-Version"),
        ("moved", "initialize", "HTTP 308: The server moved", "/right/mcp"),
        ("login", "initialize", "HTTP 302: Redirected to https://sso.example.com/login", "let /login/mcp through"),
        ("page", "initialize", "A web page came back", "correct the URL"),
        ("down", "initialize", "HTTP 502: The proxy cannot reach the server", "Start it"),
        ("nowhere", "initialize", "HTTP 404: There is nothing at this path", "Correct the URL"),
    ],
)
async def test_a_proxy_that_is_set_up_wrongly_is_explained(
    origin: str, name: str, step: str, cause: str, fix: str
) -> None:
    last = (await steps_of(f"{origin}/{name}/mcp"))[-1]
    assert (last.step, last.ok) == (step, False)
    assert cause in last.detail
    assert fix in (last.fix or "")
