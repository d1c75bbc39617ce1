"""A page of the browser, and the host page with the result view in it, as tests use them."""

import asyncio
from collections.abc import Awaitable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import attrs

from tests.browser.chromium import Chromium


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


class OpenHost(Protocol):
    """Opens the host page and the view in it. ``options``: the host's ``context`` and ``capabilities``."""

    def __call__(
        self, *, size: tuple[int, int] = (900, 900), media: object = None, **options: object
    ) -> Awaitable[Host]: ...
