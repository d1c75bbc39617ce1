"""The README's pictures of the result view and of the page for people, taken of a real run in Chromium.

``python -m tests.browser.pictures`` runs the server on the default ports, 8080 and 8090, which must be free, and
writes ``deploy/images/result-view.webp`` and ``deploy/images/page.webp``.
"""

import io
from pathlib import Path

from PIL import Image

from tests.browser.chromium import Chromium, chromium
from tests.deploy.terminal_picture import sandbox_server
from tests.serving import KEY

IMAGES = Path(__file__).parents[2] / "deploy" / "images"
ORIGIN = "http://127.0.0.1:8080"
QUALITY = 82
VIEW = """
    await page.goto(`${origin}/host.html`);
    await page.waitForFunction(() => window.host);
    await page.evaluate((server) => host.connect(server), server);
    await page.evaluate((options) => host.open(options), { sandbox });
    await page.evaluate((args) => host.generate(args), args);
    for (const picture of await view.locator("img").all()) {
      const image = await picture.elementHandle();
      while (!await image.evaluate((one) => one.complete && one.naturalWidth)) await page.waitForTimeout(50);
    }
    await page.waitForTimeout(300);
    await page.locator("#sandbox").screenshot({ path });
"""
PAGE = """
    await page.goto(url);
    await page.locator("summary").first().click();
    await page.screenshot({ path });
"""


def save(browser: Chromium, script: str, name: str, **values: object) -> None:
    """Run a script that takes a picture, and keep it small."""
    path = IMAGES / f"{name}.png"
    browser.run(script, path=str(path), **values)
    with Image.open(io.BytesIO(path.read_bytes())) as picture:
        picture.save(path.with_suffix(".webp"), quality=QUALITY, method=6)
    path.unlink()


def main() -> None:
    with chromium() as browser, sandbox_server(MCP_ALLOWED_ORIGINS=browser.origin):
        browser.run("await reset({ size: { width: 840, height: 600 } })")
        run = {"model": "google/nano-banana-2", "input": {"prompt": "a lighthouse at dusk", "num_images": 3}}
        save(browser, VIEW, "result-view", server={"url": f"{ORIGIN}/mcp", "key": KEY}, args=run)
        browser.run("await reset({ size: { width: 1000, height: 1000 } })")
        save(browser, PAGE, "page", url=f"{ORIGIN}/")


if __name__ == "__main__":
    main()
