"""“Two machines” of deploy/README.md, as it stands there: its settings, its Redis and its lines for nginx.

The machines are loopback addresses: 10.0.0.x of the document is 127.0.9.x here.
"""

import asyncio
import re
import shlex
import socket
import ssl
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import attrs
import orjson
import pytest

from runflow_mcp.cli.check import check
from runflow_mcp.cli.check_report import Collected
from runflow_mcp.settings.egress import Egress
from tests.deploy.conftest import PING
from tests.deploy.deploy_files import DEPLOY, assignments
from tests.deploy.nginx_stack import CHAIN, SPEED, nginx_main, site_in
from tests.eventually import eventually
from tests.required_programs import require
from tests.server_process import HOST, ServerProcess, clean_environment
from tests.serving import KEY, free_port, upstream_settings

pytestmark = pytest.mark.real_time

PASSWORD = "p/w"
EDGE, FIRST, SECOND = "127.0.9.10", "127.0.9.11", "127.0.9.12"
#: What a person's requests come from; an address that nginx does not connect from. And another person's.
PERSON, OTHER = "127.0.9.98", "127.0.9.99"
#: ``MCP_RATE_LIMIT_PER_IP``'s default.
PER_ADDRESS = 120


def section() -> str:
    text = (DEPLOY / "README.md").read_text()
    return text.partition("\n## Two machines\n")[2].partition("\n## ")[0].replace("10.0.0.", "127.0.9.")


def block(language: str) -> str:
    [found] = re.findall(rf"^ *```{language}\n(.*?)^ *```", section(), re.MULTILINE | re.DOTALL)
    return re.sub(r"^ +", "", str(found), flags=re.MULTILINE)


@attrs.frozen
class Machines:
    """The running processes. ``https``: nginx's port on the edge."""

    https: int
    folder: Path
    redis: ServerProcess
    replicas: tuple[ServerProcess, ServerProcess]

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.https}/mcp"

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.folder / CHAIN)

    def limits(self) -> list[str]:
        """What each replica's probe says of the store."""
        return [str(self.ready(replica)["limits"]["state"]) for replica in self.replicas]

    def ready(self, replica: ServerProcess) -> dict[str, dict[str, object]]:
        with socket.create_connection((replica.host, replica.port), timeout=5) as probe:
            probe.sendall(b"GET /readyz HTTP/1.1\r\nHost: any.example\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: probe.recv(65536), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        read: dict[str, dict[str, object]] = orjson.loads(body)
        return read


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    nginx, redis = require("nginx"), require("redis-server")
    try:
        socket.create_server((FIRST, 0)).close()
    except OSError:
        pytest.skip("this machine has one loopback address")
    tmp_path = tmp_path_factory.mktemp("machines")
    https, plain, sandbox_port, redis_port, port = (free_port() for _ in range(5))
    simulation = ("runflow_mcp", "sandbox", "--port", str(sandbox_port), "--speed", str(SPEED))
    sandbox = ServerProcess.of(tmp_path, *simulation, settings={"MCP_PORT": str(sandbox_port)}, ready_path="/v1/health")
    [command] = re.findall(r"`redis-server (.*?)`", section())
    arguments = shlex.split(command.replace("<password>", PASSWORD))
    store = ServerProcess(
        [redis, *arguments, "--port", str(redis_port)], tmp_path, redis_port, clean_environment(), EDGE, None
    )
    written = dict(assignments(re.sub(r" +#.*", "", block("sh"))))
    written["MCP_PUBLIC_URL"] = f"https://{HOST}:{https}"
    written["MCP_RATE_LIMIT_STORE"] = (
        written["MCP_RATE_LIMIT_STORE"].replace("<password>", "p%2Fw").replace(":6379/", f":{redis_port}/")
    )

    def replica(host: str) -> ServerProcess:
        settings = {**written, "MCP_HOST": host, "MCP_PORT": str(port), **upstream_settings(sandbox.origin)}
        folder = tmp_path / host
        folder.mkdir()
        return ServerProcess.of(folder, settings=settings, host=host)

    replicas = replica(FIRST), replica(SECOND)
    site = site_in(tmp_path, https=https, plain=plain, replicas=(port, port))
    for line, old in zip(block("nginx").splitlines(), re.findall(r"server \S+ max_fails=0;", site), strict=True):
        site = site.replace(old, line.replace(":8080", f":{port}"), 1)
    # nginx connects from its machine's address.
    site = site.replace("proxy_http_version 1.1;", f"proxy_http_version 1.1; proxy_bind {EDGE};")
    (tmp_path / "site.conf").write_text(site)
    (tmp_path / "nginx.conf").write_text(nginx_main(tmp_path))
    served = [nginx, "-p", str(tmp_path), "-e", str(tmp_path / "error.log"), "-c", str(tmp_path / "nginx.conf")]
    edge = ServerProcess(served, tmp_path, https, clean_environment(), ready_path=None)
    with ExitStack() as stack:
        for process in (sandbox, store, *replicas, edge):
            stack.enter_context(process)
            process.wait_until_ready()
        yield Machines(https, tmp_path, store, replicas)


async def statuses(machines: Machines, count: int, person: str) -> Counter[int]:
    """The statuses of this many requests of one person."""
    found: Counter[int] = Counter()
    connector = aiohttp.TCPConnector(ssl=machines.tls(), local_addr=(person, 0))
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        for _ in range(count):
            async with session.post(machines.url, json=PING) as response:
                found[response.status] += 1
    return found


async def test_two_machines_serve_as_one(machines: Machines) -> None:
    collected = Collected()
    egress = Egress(ca_file=str(machines.folder / CHAIN))
    assert await check(machines.url, KEY, None, collected, egress), collected.steps
    await asyncio.to_thread(eventually, lambda: machines.limits() == ["ok", "ok"], "both reach the store")
    assert await statuses(machines, PER_ADDRESS + 10, PERSON) == {200: PER_ADDRESS, 429: 10}
    for replica in machines.replicas:
        addresses = {line.get("address") for line in replica.log_lines if line.get("rpc") == "ping"}
        assert addresses == {PERSON}, "both served, and know the person and not nginx"


async def test_without_redis_and_without_a_machine_every_call_is_answered(machines: Machines) -> None:
    machines.redis.kill()
    assert await statuses(machines, 10, OTHER) == {200: 10}
    assert "fallback" in machines.limits()
    machines.replicas[0].kill()
    assert await statuses(machines, 10, OTHER) == {200: 10}
    machines.redis.start()
    machines.redis.wait_until_ready()
    second = machines.replicas[1]

    async def recovered() -> bool:
        await statuses(machines, 1, OTHER)
        return machines.ready(second)["limits"]["state"] == "ok"

    async with asyncio.timeout(20):
        while not await recovered():  # noqa: ASYNC110 - the store is asked by requests
            await asyncio.sleep(0.2)
