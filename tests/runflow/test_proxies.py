"""Requests through a real proxy to a TLS server whose certificate a private authority signed."""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from runflow_mcp.sandbox import RunningSandbox
from runflow_mcp.sandbox.server import make_app
from tests.runflow.certificate_authority import Authority
from tests.runflow.forward_proxy import ForwardProxy, forward_proxy
from tests.scripted_sandbox import Respond, ScriptedSandbox
from tests.serving import KEY, Server, free_port, run_server
from tests.virtual_time import VirtualClock

HOST = "api.runflow.test"
Start = Callable[..., Awaitable[Server]]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def proxy(
    authority: Authority, sandbox: ScriptedSandbox, upstream: RunningSandbox
) -> AsyncIterator[ForwardProxy]:
    """A proxy behind which ``HOST`` is the sandbox, over TLS and without."""
    runner = web.AppRunner(make_app(sandbox), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=authority.server(HOST)).start()
    async with forward_proxy(tls=port, plain=int(upstream.url.rpartition(":")[2])) as proxy:
        yield proxy
    await runner.cleanup()


@pytest.fixture
async def start(authority: Authority, proxy: ForwardProxy, clock: VirtualClock) -> AsyncIterator[Start]:
    """Start a server whose Runflow can be reached through the proxy alone."""
    async with AsyncExitStack() as stack:

        async def started(scheme: str = "https", **settings: str) -> Server:
            ways = {"HTTPS_PROXY": proxy.url, "HTTP_PROXY": proxy.url, "SSL_CERT_FILE": str(authority.file)}
            ways |= {"RUNFLOW_TIMEOUT_MS": "5000"}
            return await stack.enter_async_context(
                run_server(f"{scheme}://{HOST}", clock, Random(0), {**ways, **settings})
            )

        yield started


async def first_attempts(server: Server, sandbox: ScriptedSandbox) -> None:
    """Wait until the catalog and the skill have been asked for."""
    await server.services.catalog.first_attempt()
    for _ in range(100):
        if any(seen.path.endswith("SKILL.md") for seen in sandbox.requests):
            return
        await server.services.clock.sleep(0.02)


async def test_api_catalog_and_skill_go_through_the_proxy(
    start: Start, proxy: ForwardProxy, sandbox: ScriptedSandbox
) -> None:
    server = await start()
    await first_attempts(server, sandbox)
    assert (await server.call("list_models")).structured["total"] > 40
    assert (await server.generate(wait=False)).structured["run_id"]
    paths = {seen.path for seen in sandbox.requests}
    assert paths >= {"/models-catalog.json", "/.well-known/agent-skills/runflow/SKILL.md"}
    assert set(proxy.targets) == {f"{HOST}:443"}
    assert all(head.startswith("CONNECT ") for head in proxy.heads)
    assert KEY not in "".join(proxy.heads), "the key is inside the tunnel"


async def test_plain_http_goes_through_its_own_proxy(
    start: Start, proxy: ForwardProxy, sandbox: ScriptedSandbox
) -> None:
    server = await start("http", HTTPS_PROXY="http://127.0.0.1:9")
    await first_attempts(server, sandbox)
    assert (await server.generate(wait=False)).structured["run_id"]
    assert all(target.startswith(f"http://{HOST}/") for target in proxy.targets)
    assert len(sandbox.runs) == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_credentials_of_the_proxy_reach_the_proxy_alone(
    start: Start, proxy: ForwardProxy, sandbox: ScriptedSandbox, scheme: str
) -> None:
    proxy.authorization = "Basic " + base64.b64encode(b"us@er:s3:cret/").decode()
    url = proxy.url.replace("://", "://us%40er:s3:cret%2F@")
    with capture_logs() as logged:
        server = await start(scheme, HTTPS_PROXY=url, HTTP_PROXY=url)
        await first_attempts(server, sandbox)
        answer = await server.generate(wait=False)
        ready = await server.request("GET", "/readyz")
    assert answer.structured["run_id"]
    assert all("Proxy-Authorization" not in seen.headers for seen in sandbox.requests)
    shown = f"{logged}{ready.content!r}{answer.content!r}{server.services!r}{server.services.config.table()}"
    assert "cret" not in shown
    assert proxy.authorization.split()[1] not in shown


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (407, "the proxy requires a user name and password", "proxy_authentication"),
        (502, "the proxy refused to connect to Runflow (HTTP 502)", "proxy_refused"),
        (403, "the proxy refused to connect to Runflow (HTTP 403)", "proxy_refused"),
    ],
)
async def test_a_refusal_of_the_proxy_is_not_attributed_to_runflow(
    start: Start, proxy: ForwardProxy, sandbox: ScriptedSandbox, *, status: int, words: str, kind: str
) -> None:
    proxy.status = status
    with capture_logs() as logged:
        server = await start(HTTPS_PROXY=proxy.url.replace("://", "://user:s3cret@"))
        error = (await server.generate()).tool_error
        models = (await server.call("list_models")).tool_error
    assert (error["code"], error["upstream_status"]) == ("generate_failed", None)
    assert words in f"{error['message'][0].lower()}{error['message'][1:]}"
    assert words in models["message"]
    kinds = {line["event"]: line["problem"] for line in logged if "problem" in line}
    assert kinds["upstream_failed"] == kinds["catalog_fetch_failed"] == kind
    assert not sandbox.requests
    assert "s3cret" not in f"{error}{models}{logged}"


async def test_a_407_of_a_plain_http_proxy_is_not_attributed_to_runflow(start: Start, proxy: ForwardProxy) -> None:
    proxy.authorization = "Basic x"
    error = (await (await start("http")).generate()).tool_error
    assert "(HTTP 407)" in error["message"]
    assert error["message"].startswith("The proxy")


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("address", ["127.0.0.1:9", "no-such-proxy.invalid:3128"])
async def test_an_unreachable_proxy_is_distinguished_from_runflow(start: Start, scheme: str, address: str) -> None:
    server = await start(scheme, HTTPS_PROXY=address, HTTP_PROXY=address)
    error = (await server.generate()).tool_error
    assert error["message"].startswith("The proxy of this server")
    assert "127.0.0.1" not in error["message"]


async def test_a_request_to_a_host_in_no_proxy_does_not_meet_the_proxy(start: Start, proxy: ForwardProxy) -> None:
    server = await start(NO_PROXY="example.com, .runflow.test")
    error = (await server.generate()).tool_error
    assert error["message"].startswith("The host name of Runflow could not be resolved")
    assert not proxy.heads


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy"])
async def test_loopback_never_goes_through_a_proxy(
    upstream: RunningSandbox, proxy: ForwardProxy, clock: VirtualClock, name: str
) -> None:
    async with run_server(upstream.url, clock, Random(0), {name: proxy.url}) as server:
        assert (await server.generate(wait=False)).structured["run_id"]
    assert not proxy.heads


async def test_the_proxy_is_chosen_anew_for_each_redirect(
    start: Start, upstream: RunningSandbox, proxy: ForwardProxy, sandbox: ScriptedSandbox
) -> None:
    """From a host behind the proxy to loopback: neither must see what is meant for the other."""
    sandbox.script.add("catalog", Respond(302, headers={"Location": f"{upstream.url}/models-catalog.json"}))
    url = proxy.url.replace("://", "://user:s3cret@")
    server = await start("http", HTTP_PROXY=url, RUNFLOW_SKILL_URL="")
    await server.services.catalog.first_attempt()
    assert server.services.catalog.current is not None
    assert proxy.targets == [f"http://{HOST}/models-catalog.json"]
    assert all("Proxy-Authorization" not in seen.headers for seen in sandbox.requests)


async def test_a_private_authority_is_not_trusted_without_its_certificate(
    start: Start, sandbox: ScriptedSandbox
) -> None:
    server = await start(SSL_CERT_FILE="")
    error = (await server.generate()).tool_error
    assert "SSL_CERT_FILE" in error["message"]
    assert not sandbox.requests
