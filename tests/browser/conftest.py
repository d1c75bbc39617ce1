"""One browser for a run of tests; the product and the sandbox in this process, on a hurried clock."""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.browser.chromium import Chromium, chromium
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


@attrs.frozen
class Tab:
    """A page of the browser, and a folder for pictures of it."""

    browser: Chromium
    folder: Path

    async def run(self, script: str, **values: object) -> Any:
        """Run a script in the driver while the event loop of the test goes on serving."""
        return await asyncio.to_thread(partial(self.browser.run, script, **values))

    async def picture(self, name: str) -> Path:
        """A screenshot of the whole page."""
        path = self.folder / f"{name}.png"
        await self.run("await page.screenshot({ path, fullPage: true })", path=str(path))
        return path


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


@attrs.frozen
class Host:
    """The host page with the result view in it."""

    tab: Tab

    async def run(self, script: str, **values: object) -> Any:
        return await self.tab.run(script, **values)

    async def generate(self, **arguments: object) -> Any:
        """Call generate as the model would; returns the result once the view shows it."""
        result = await self.run("return page.evaluate((args) => host.generate(args), args)", args=arguments)
        await self.run("await view.locator('#waiting').waitFor({ state: 'hidden' })")
        return result

    async def show(self, result: object) -> None:
        """Show a result that no server has sent."""
        await self.run("await page.evaluate((result) => host.bridge.sendToolResult(result), result)", result=result)

    async def text(self, selector: str) -> str:
        found: str = await self.run("return view.locator(selector).innerText()", selector=selector)
        return found

    async def count(self, selector: str) -> int:
        found: int = await self.run("return view.locator(selector).count()", selector=selector)
        return found

    async def shown(self, selector: str) -> None:
        """Wait until an element is visible. Fails when it does not become so."""
        await self.run("await view.locator(selector).first().waitFor()", selector=selector)

    async def calls(self) -> Any:
        """The params of the tools/call requests that the view has sent."""
        return await self.run("return page.evaluate(() => host.calls)")


OpenHost = Callable[..., Any]


@pytest.fixture
async def open_host(tab: Tab, product: Server) -> OpenHost:
    """Open the host page and the view in it. ``options``: the host's ``context`` and ``capabilities``."""

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
