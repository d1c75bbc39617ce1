"""``runflow-mcp check`` from behind a company's proxy: through it, and what it says when that fails."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runflow_mcp.cli import main as cli
from runflow_mcp.cli.check import check
from runflow_mcp.cli.check_report import Collected, Step
from runflow_mcp.settings.egress import Egress, proxy
from tests.runflow.forward_proxy import ForwardProxy, forward_proxy
from tests.serving import KEY, Serve, free_port

HOST = "mcp.example.test"
URL = f"http://{HOST}/mcp"


@pytest.fixture
async def company(serve: Serve) -> AsyncIterator[ForwardProxy]:
    """A proxy that alone knows the server's name."""
    server = await serve(MCP_PUBLIC_URL=f"http://{HOST}")
    async with forward_proxy(tls=free_port(), plain=int(server.origin.rpartition(":")[2])) as company:
        yield company


async def steps_of(url: str, egress: Egress) -> list[Step]:
    collected = Collected()
    await check(url, KEY, None, collected, egress)
    return collected.steps


async def test_check_goes_through_the_proxy(company: ForwardProxy) -> None:
    steps = await steps_of(URL, Egress(http_proxy=proxy(company.url)))
    assert all(step.ok for step in steps), steps
    assert steps[0].detail == f"127.0.0.1 port {company.port}, the proxy {company.url}"
    assert set(company.targets) == {URL}


@pytest.mark.parametrize(
    ("scheme", "status", "cause"), [("https", 403, "The proxy refused"), ("https", 407, "The proxy requires a user")]
)
async def test_check_explains_what_the_proxy_refuses(
    company: ForwardProxy, scheme: str, status: int, cause: str
) -> None:
    company.status = status
    ways = Egress(https_proxy=proxy(company.url), http_proxy=proxy(company.url))
    last = (await steps_of(f"{scheme}://{HOST}/mcp", ways))[-1]
    assert (last.step, last.ok) == ("initialize", False)
    assert last.detail.startswith(cause)
    assert last.fix


async def test_check_explains_a_proxy_that_is_not_there() -> None:
    [step] = await steps_of(URL, Egress(http_proxy=proxy(f"http://127.0.0.1:{free_port()}")))
    assert (step.step, step.ok) == ("connect", False)
    assert step.detail == "The proxy of HTTPS_PROXY or HTTP_PROXY cannot be reached."


async def test_check_reaches_this_machine_without_the_proxy(company: ForwardProxy, serve: Serve) -> None:
    server = await serve()
    assert all(step.ok for step in await steps_of(server.url, Egress(http_proxy=proxy(company.url))))
    assert company.heads == []


def test_a_wrong_proxy_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HTTPS_PROXY", "socks5://me:geheim@proxy.example:1080")
    with pytest.raises(SystemExit) as exit_:
        cli.main(["check", "--key", KEY])
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("HTTPS_PROXY: expected ")
    assert "geheim" not in error
