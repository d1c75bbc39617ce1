"""One browser for a run of tests; the product and the sandbox in this process, on a hurried clock."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.chromium import Chromium, chromium
from tests.browser.host_page import Host, OpenHost, Tab
from tests.clients.conftest import SPEED, HurriedClock
from tests.scripted_sandbox import ScriptedSandbox
from tests.serving import KEY, Serve, Server
from tests.virtual_time import VirtualClock

#: Where screenshots go; pytest keeps those of the last runs in its temporary folder.
SCREENSHOTS = "screenshots"


@pytest.fixture
def clock() -> VirtualClock:
    return HurriedClock()


@pytest.fixture
def sandbox(clock: VirtualClock) -> ScriptedSandbox:
    return ScriptedSandbox(clock=clock, speed=SPEED)


@pytest.fixture(scope="session")
def browser() -> Iterator[Chromium]:
    with chromium() as running:
        yield running


@pytest.fixture
async def tab(browser: Chromium, tmp_path: Path) -> Tab:
    """A new page."""
    folder = tmp_path / SCREENSHOTS
    folder.mkdir()
    found = Tab(browser, folder)
    await found.run("await reset()")
    return found


@pytest.fixture
async def product(serve: Serve, browser: Chromium) -> Server:
    """The product, which the host page may call."""
    return await serve(MCP_ALLOWED_ORIGINS=browser.origin)


@pytest.fixture
async def open_host(tab: Tab, product: Server) -> OpenHost:
    async def open_(*, size: tuple[int, int] = (900, 900), media: object = None, **options: object) -> Host:
        width, height = size
        viewport = {"width": width, "height": height}
        await tab.run("await reset({ size, media })", size=viewport, media=media or {})
        script = """
            if (page.url() !== `${origin}/host.html`) await page.goto(`${origin}/host.html`);
            await page.waitForFunction(() => window.host);
            await page.evaluate((server) => host.connect(server), server);
            await page.evaluate((options) => host.open(options), { sandbox, ...options });
        """
        await tab.run(script, server={"url": product.url, "key": KEY}, options=options)
        return Host(tab)

    return open_
