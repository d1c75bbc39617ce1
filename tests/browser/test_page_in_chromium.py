"""The page for people in Chromium: on a phone and a desktop, light and dark, with and without JavaScript."""

from typing import Any

import pytest

from tests.browser.contrast import LOW_CONTRAST
from tests.browser.host_page import Tab
from tests.serving import Server

pytestmark = pytest.mark.real_time

PHONE, DESKTOP = {"width": 360, "height": 740}, {"width": 1280, "height": 900}


async def opened(tab: Tab, server: Server, **options: Any) -> None:
    await server.services.catalog.snapshot()
    await tab.run("await reset(options)", options=options)
    await tab.run("await page.goto(url)", url=f"{server.origin}/")


# The width decides about the lines, the scheme about the contrast.
@pytest.mark.parametrize(("device", "size", "scheme"), [("phone", PHONE, "light"), ("desktop", DESKTOP, "dark")])
async def test_the_page_can_be_read_on_a_device(
    tab: Tab, server: Server, device: str, size: dict[str, int], scheme: str
) -> None:
    await opened(tab, server, size=size, media={"colorScheme": scheme})
    await tab.run(
        "for (const one of await page.locator('details').all()) await one.evaluate((it) => { it.open = true })"
    )
    assert await tab.run("return page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)")
    assert await tab.run("return page.locator('body').evaluate(new Function(body))", body=LOW_CONTRAST) == []
    small = """
      return page.evaluate(() => [...document.querySelectorAll("summary, button:not([hidden]), .install")]
        .filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 24)
        .map((one) => one.textContent));
    """
    assert await tab.run(small) == []
    await tab.run(
        "for (const one of await page.locator('details').all()) await one.evaluate((it) => { it.open = false })"
    )
    await tab.picture(f"page-{device}-{scheme}")


async def test_the_page_asks_for_nothing_and_breaks_no_rule_of_its_policy(tab: Tab, server: Server) -> None:
    await opened(tab, server)
    record = await tab.run("return record")
    requested = {request["url"] for request in record["requests"]}
    assert requested <= {f"{server.origin}/", f"{server.origin}/favicon.ico"}
    assert (record["errors"], record["complaints"]) == ([], [])


async def test_a_text_is_copied_with_a_button(tab: Tab, server: Server) -> None:
    await opened(tab, server)
    await tab.run("await page.context().grantPermissions(['clipboard-read', 'clipboard-write'])")
    await tab.run("await page.getByRole('button', { name: /^Copy: Paste it where/ }).click()")
    await tab.run("await page.locator('button', { hasText: 'Copied' }).waitFor()")
    assert await tab.run("return page.evaluate(() => navigator.clipboard.readText())") == server.url


async def test_without_javascript_everything_is_there_but_the_buttons(tab: Tab, server: Server) -> None:
    await opened(tab, server, javaScriptEnabled=False)
    assert await tab.run("return page.locator('button:visible').count()") == 0
    await tab.run("await page.locator('summary', { hasText: 'Codex' }).click()")
    assert await tab.run("return page.locator('pre:visible', { hasText: 'codex mcp add' }).count()") == 1
    assert await tab.run("return page.locator('code', { hasText: '/runflow:' }).count()") > 5


async def test_the_page_can_be_used_with_the_keyboard(tab: Tab, server: Server) -> None:
    await opened(tab, server)
    await tab.run("await page.locator('summary').first().focus()")
    await tab.run("await page.keyboard.press('Enter')")
    assert await tab.run("return page.locator('details[open] pre:visible').count()") > 0
    await tab.run("await page.keyboard.press('Tab')")
    assert await tab.run("return page.locator('details[open] button:focus').count()") == 1
