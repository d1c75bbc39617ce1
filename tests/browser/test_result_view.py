"""The result view in Chromium and in the official host side, in front of the product and the sandbox."""

from typing import Any

import pytest

from tests.browser.contrast import LOW_CONTRAST
from tests.browser.host_page import Host, OpenHost
from tests.scripted_sandbox import ScriptedSandbox
from tests.serving import Server

pytestmark = pytest.mark.real_time

IMAGE, VIDEO, AUDIO = "google/nano-banana-2", "google/veo3.1/fast", "elevenlabs/tts/eleven-v3"
LIGHTHOUSE = {"prompt": "a lighthouse at dusk"}
#: An address that refuses connections.
NOWHERE = "http://127.0.0.1:9"
RUN: dict[str, Any] = {
    "run_id": "run-1",
    "status": "succeeded",
    "model": IMAGE,
    "client_ref": "my-ref",
    "outputs": [],
    "output": None,
    "cost": "0.1600",
    "duration_ms": 4200,
}
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'&amp;</title>${alert(3)}"


def result(*outputs: object, **members: object) -> dict[str, Any]:
    """A result of generate that no server has sent."""
    return {"content": [], "structuredContent": {**RUN, "outputs": list(outputs), **members}}


def error(**members: object) -> dict[str, Any]:
    return {"content": [], "isError": True, "structuredContent": {"error": members}}


async def loaded(host: Host, selector: str) -> None:
    """Wait until a picture, video or audio has been loaded. Fails when it is not."""
    await host.run(
        """
        const media = view.locator(selector).first();
        await media.waitFor();
        const one = await media.elementHandle();
        for (let tries = 0; tries < 300; tries++) {
          if (await one.evaluate((media) => media.naturalWidth > 0 || media.duration > 0)) return;
          await page.waitForTimeout(50);
        }
        throw new Error(`not loaded: ${selector}`);
        """,
        selector=selector,
    )


def dispatches(sandbox: ScriptedSandbox) -> int:
    return sum(request.method == "POST" for request in sandbox.requests)


# What a run returned


async def test_a_picture_is_shown_with_model_cost_duration_and_a_download_link(open_host: OpenHost) -> None:
    host = await open_host()
    answer = (await host.generate(model=IMAGE, input=LIGHTHOUSE))["structuredContent"]
    await loaded(host, "img")
    assert await host.text("h1") == IMAGE
    facts = await host.text("#facts")
    assert "$0." in facts
    assert answer["run_id"] in facts
    assert "Duration" in facts
    [output] = answer["outputs"]
    assert await host.run("return view.locator('figcaption a').getAttribute('href')") == output["url"]
    assert await host.run("return view.locator('img').getAttribute('alt')") == "Picture: a lighthouse at dusk"
    await host.tab.picture("picture")


async def test_several_pictures_stand_side_by_side_and_below_each_other_where_it_is_narrow(open_host: OpenHost) -> None:
    host = await open_host()
    await host.generate(model=IMAGE, input={**LIGHTHOUSE, "num_images": 3})
    await loaded(host, "li:last-child img")
    places = "return Promise.all((await view.locator('figure').all()).map((one) => one.boundingBox()))"
    wide = await host.run(places)
    assert len({round(box["y"]) for box in wide}) == 1
    assert len({round(box["x"]) for box in wide}) == 3
    assert "Outputs" in await host.text("#facts")
    await host.tab.picture("side-by-side")
    await host.run("await page.setViewportSize({ width: 320, height: 800 })")
    narrow = await host.run(places)
    assert len({round(box["x"]) for box in narrow}) == 1
    assert await host.run("return view.locator('html').evaluate((html) => html.scrollWidth <= html.clientWidth)")
    await host.tab.picture("narrow")


async def test_a_video_and_an_audio_can_be_played(open_host: OpenHost) -> None:
    host = await open_host()
    await host.generate(model=VIDEO, input=LIGHTHOUSE)
    await loaded(host, "video")
    assert await host.run("return view.locator('video').evaluate((video) => video.controls && video.videoWidth > 0)")
    await host.tab.picture("video")
    await host.generate(model=AUDIO, input={"text": "Good morning"})
    await loaded(host, "audio")
    assert await host.count("figure") == 1
    await host.tab.picture("audio")


async def test_only_the_media_are_requested(open_host: OpenHost, product: Server) -> None:
    host = await open_host()
    await host.generate(model=IMAGE, input=LIGHTHOUSE)
    await loaded(host, "img")
    record = await host.run("return record")
    requested = {request["url"] for request in record["requests"] if request["fromView"]}
    assert requested
    assert all(url.startswith(f"{product.services.config.api_url}/outputs/") for url in requested)
    assert record["errors"] == []


async def test_a_result_is_read_from_its_text_where_the_host_drops_the_structured_part(open_host: OpenHost) -> None:
    host = await open_host()
    answer = await host.generate(model=IMAGE, input=LIGHTHOUSE)
    await host.show({"content": answer["content"]})
    await loaded(host, "img")
    await host.show({"content": [block for block in answer["content"] if block["type"] == "resource_link"]})
    await loaded(host, "img")


async def test_a_run_that_was_not_waited_for_can_be_checked_again(open_host: OpenHost) -> None:
    host = await open_host()
    await host.generate(model=IMAGE, input=LIGHTHOUSE, wait=False, client_ref="later")
    assert "has not ended" in await host.text("#result")
    await host.run("await view.getByRole('button', { name: 'Check again' }).click()")
    await loaded(host, "img")
    assert [call["arguments"]["client_ref"] for call in await host.calls()] == ["later"]


# While it waits, and when it fails


async def test_progress_is_shown_while_the_run_goes_on(open_host: OpenHost) -> None:
    host = await open_host()
    assert "Waiting for the run" in await host.text("#waiting")
    await host.run(
        "await page.evaluate((args) => { host.generate(args).catch(() => {}); }, args)",
        args={"model": "sandbox/slow", "input": {}},
    )
    await host.run("await view.locator('#step', { hasText: /running, \\d+ of \\d+ steps/ }).waitFor()")
    await host.run("await view.locator('#bar[value]').waitFor()")
    assert await host.text("h1") == "sandbox/slow"
    await host.tab.picture("progress")


async def test_a_failed_run_is_shown_with_its_next_action(open_host: OpenHost) -> None:
    host = await open_host()
    answer = await host.generate(model="sandbox/failing", input={})
    error = answer["structuredContent"]["error"]
    shown = await host.text("#problem")
    assert "run_failed" in shown
    assert error["message"] in shown
    assert error["next_action"] in shown
    assert await host.run("return view.getByRole('alert').count()") == 1
    await host.tab.picture("error")
    # The text alone says the same.
    await host.show({"content": answer["content"], "isError": True})
    assert {"run_failed", error["message"], error["next_action"]} == {
        part for part in ("run_failed", error["message"], error["next_action"]) if part in await host.text("#problem")
    }


async def test_a_wait_that_was_interrupted_can_be_continued_with_its_client_ref(open_host: OpenHost) -> None:
    host = await open_host()
    await host.generate(model=IMAGE, input=LIGHTHOUSE, client_ref="mine")
    details = {"run_id": "run-1", "client_ref": "mine", "model": IMAGE}
    await host.show(error(code="polling_timeout", message="m", next_action="n", details=details))
    await host.run("await view.getByRole('button', { name: 'Keep waiting' }).click()")
    await host.run("await view.locator('#problem').waitFor({ state: 'hidden' })")
    assert [call["arguments"]["client_ref"] for call in await host.calls()] == ["mine"]


async def test_a_cancelled_call_is_reported(open_host: OpenHost) -> None:
    host = await open_host()
    await host.run("await page.evaluate(() => host.bridge.sendToolCancelled({ reason: 'by the user' }))")
    assert "cancelled: by the user" in await host.text("#problem")


# Refresh links


async def test_refreshing_asks_for_the_same_run_and_starts_none(open_host: OpenHost, sandbox: ScriptedSandbox) -> None:
    host = await open_host()
    await host.generate(model=IMAGE, input=LIGHTHOUSE, client_ref="same")
    before = dispatches(sandbox)
    await host.run("await view.getByRole('button', { name: 'Refresh links' }).click()")
    await host.run("await view.locator('#notice', { hasText: 'The links are new.' }).waitFor()")
    [call] = await host.calls()
    assert call["name"] == "generate"
    assert call["arguments"] == {"model": IMAGE, "input": LIGHTHOUSE, "client_ref": "same"}
    assert dispatches(sandbox) == before == 1
    await loaded(host, "img")
    assert await host.count("img") == 1


async def test_a_run_is_refreshed_without_knowing_its_input_by_the_client_ref_that_the_server_made(
    open_host: OpenHost, sandbox: ScriptedSandbox
) -> None:
    host = await open_host()
    call = "return page.evaluate((args) => host.client.callTool({ name: 'generate', arguments: args }), args)"
    answer = await host.run(call, args={"model": IMAGE, "input": LIGHTHOUSE})
    await host.show(answer)
    await host.shown("figure")
    await host.run("await view.getByRole('button', { name: 'Refresh links' }).click()")
    await host.run("await view.locator('#notice', { hasText: 'The links are new.' }).waitFor()")
    [call] = await host.calls()
    assert call["arguments"]["client_ref"] == answer["structuredContent"]["client_ref"]
    assert dispatches(sandbox) == 1
    assert "another input" not in await host.text("#result")


async def test_nothing_is_refreshed_without_a_client_ref_and_a_model(open_host: OpenHost) -> None:
    host = await open_host()
    button = "return view.getByRole('button', { name: 'Refresh links' }).count()"
    await host.show(result({"url": f"{NOWHERE}/whole.bin"}))
    await host.shown("figcaption:has-text('whole')")
    assert await host.run(button) == 1
    cases: list[dict[str, Any]] = [{"client_ref": None}, {"client_ref": ""}, {"model": None}, {"client_ref": 5}]
    for number, missing in enumerate(cases):
        await host.show(result({"url": f"{NOWHERE}/{number}.bin"}, **missing))
        await host.shown(f"figcaption:has-text('{number}.bin')")
        assert await host.run(button) == 0


async def test_nothing_is_refreshed_where_the_host_passes_on_no_calls(open_host: OpenHost) -> None:
    host = await open_host(capabilities={"openLinks": {}})
    await host.show(result({"url": f"{NOWHERE}/a.png"}))
    await host.shown("figure")
    assert await host.run("return view.getByRole('button', { name: 'Refresh links' }).count()") == 0


async def test_a_refresh_that_fails_keeps_the_outputs_and_says_why(open_host: OpenHost) -> None:
    host = await open_host()
    await host.generate(model=IMAGE, input=LIGHTHOUSE)
    await host.run("await page.evaluate(() => { host.bridge.oncalltool = () => { throw new Error('not today'); }; })")
    await host.run("await view.getByRole('button', { name: 'Refresh links' }).click()")
    await host.run("await view.locator('#notice', { hasText: 'not today' }).waitFor()")
    assert await host.count("img") == 1
    assert await host.run("return view.getByRole('button', { name: 'Refresh links' }).isEnabled()")


# The host: theme, size, links, keyboard, screen reader


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_the_view_follows_the_theme_of_the_host_with_enough_contrast(open_host: OpenHost, theme: str) -> None:
    other = "light" if theme == "dark" else "dark"
    host = await open_host(context={"theme": theme}, media={"colorScheme": other})
    await host.generate(model=IMAGE, input=LIGHTHOUSE)
    await loaded(host, "img")
    await host.tab.picture(theme)
    await host.show(error(code="run_failed", message="No lighthouse.", next_action="Draw one.", details={}))
    await host.shown("#problem")
    low = await host.run("return view.locator('body').evaluate(new Function(body))", body=LOW_CONTRAST)
    assert low == []
    background = "return view.locator('body').evaluate((body) => getComputedStyle(body).backgroundColor)"
    first = await host.run(background)
    await host.run("await page.evaluate((theme) => host.bridge.setHostContext({ theme }), other)", other=other)
    await host.run("await view.locator(`html[data-theme=${other}]`).waitFor()", other=other)
    assert await host.run(background) != first


async def test_the_view_takes_colours_and_fonts_of_the_host_and_no_address(open_host: OpenHost) -> None:
    variables = {
        "--color-background-primary": "rgb(1, 2, 3)",
        "--font-sans": "Georgia, serif",
        "--color-text-primary": "url(http://127.0.0.1:9/x)",
        "--other": "red",
        "--color-border-primary": 5,
    }
    host = await open_host(
        context={"styles": {"variables": variables, "css": {"fonts": "@import 'http://127.0.0.1:9/y'"}}}
    )
    style = "return view.locator('body').evaluate((body, name) => getComputedStyle(body)[name], name)"
    assert await host.run(style, name="backgroundColor") == "rgb(1, 2, 3)"
    assert "Georgia" in await host.run(style, name="fontFamily")
    assert "url" not in await host.run("return view.locator('html').getAttribute('style')")
    assert not [request for request in (await host.run("return record"))["requests"] if ":9/" in request["url"]]


async def test_the_view_reports_its_height_and_needs_no_scrolling(open_host: OpenHost) -> None:
    host = await open_host()
    await host.generate(model=IMAGE, input=LIGHTHOUSE)
    await loaded(host, "img")
    fits = "return view.locator('html').evaluate((html) => html.scrollHeight - innerHeight)"
    await host.run(
        "await page.waitForFunction(() => host.received.some(({ method }) => method?.endsWith('size-changed')))"
    )
    for _ in range(50):
        if await host.run(fits) <= 1:
            return
        await host.run("await page.waitForTimeout(20)")
    pytest.fail("the view is higher than its frame")


async def test_links_are_opened_and_files_downloaded_by_the_host(open_host: OpenHost) -> None:
    host = await open_host(capabilities={"openLinks": {}, "downloadFile": {}})
    await host.show(result({"url": f"{NOWHERE}/a%20b.png?sig=1", "mime_type": "image/png"}))
    await host.run("await view.getByRole('link', { name: /^Download/ }).click()")
    await host.run("await page.waitForFunction(() => host.downloads.length)")
    [file] = await host.run("return page.evaluate(() => host.downloads)")
    assert (file["type"], file["uri"], file["name"]) == ("resource_link", f"{NOWHERE}/a%20b.png?sig=1", "a b.png")
    host = await open_host()
    await host.show(result({"url": f"{NOWHERE}/a.png"}))
    await host.run("await view.getByRole('link', { name: /^Download/ }).click()")
    await host.run("await page.waitForFunction(() => host.links.length)")
    assert await host.run("return page.evaluate(() => host.links)") == [f"{NOWHERE}/a.png"]


@pytest.mark.parametrize("capabilities", [{"openLinks": {}}, {}], ids=["refused", "not offered"])
async def test_a_link_that_the_host_does_not_open_is_shown_to_be_copied(
    open_host: OpenHost, capabilities: dict[str, Any]
) -> None:
    host = await open_host(capabilities=capabilities)
    await host.run("await page.evaluate(() => { host.bridge.onopenlink = async () => ({ isError: true }); })")
    await host.show(result({"url": f"{NOWHERE}/a.png"}))
    await host.run("await view.getByRole('link', { name: /^Download/ }).click()")
    await host.run("await view.locator('#notice', { hasText: '/a.png' }).waitFor()")


async def test_everything_can_be_reached_and_done_with_the_keyboard(open_host: OpenHost) -> None:
    host = await open_host()
    await host.generate(model=IMAGE, input=LIGHTHOUSE, client_ref="keys")
    await loaded(host, "img")
    focused = """
        return view.locator(':focus').evaluate((one) => one.getAttribute('aria-label') || one.textContent || one.title);
    """
    await host.run("await view.locator('body').click({ position: { x: 2, y: 2 } })")
    reached = []
    for _ in range(3):
        await host.run("await page.keyboard.press('Tab')")
        reached.append(await host.run(focused))
        outline = await host.run("return view.locator(':focus').evaluate((one) => getComputedStyle(one).outlineStyle)")
        assert outline == "solid"
    assert reached == ["Open in full size", "Download picture, 0.png", "Refresh links"]
    await host.run("await page.keyboard.press('Enter')")
    await host.run("await view.locator('#notice', { hasText: 'The links are new.' }).waitFor()")


async def test_a_screen_reader_hears_headings_names_and_news(open_host: OpenHost) -> None:
    host = await open_host()
    await host.generate(model=IMAGE, input={**LIGHTHOUSE, "num_images": 2})
    await loaded(host, "img")
    heard = await host.run("return view.locator('main').ariaSnapshot()")
    for part in (
        f'heading "{IMAGE}" [level=1]',
        'region "Outputs"',
        "list",
        'img "Picture 1 of 2: a lighthouse at dusk"',
        'link "Download picture 1 of 2, 0.png"',
        'button "Refresh links"',
        "status: The result has 2 outputs.",
    ):
        assert part in heard


async def test_a_change_of_the_host_does_not_stop_what_plays(open_host: OpenHost) -> None:
    host = await open_host()
    await host.show(result({"url": f"{NOWHERE}/a.bin"}))
    await host.shown("figure")
    await host.run("await view.locator('figure').evaluate((figure) => { figure.dataset.same = 'yes'; })")
    await host.run("await page.evaluate(() => host.bridge.setHostContext({ theme: 'dark', displayMode: 'pip' }))")
    await host.run("await view.locator('html[data-theme=dark]').waitFor()")
    assert await host.count("figure[data-same=yes]") == 1


async def test_full_screen_is_offered_where_the_host_has_it(open_host: OpenHost) -> None:
    host = await open_host(context={"availableDisplayModes": ["inline", "fullscreen"], "displayMode": "inline"})
    await host.show(result({"url": f"{NOWHERE}/a.png"}))
    await host.run("await view.getByRole('button', { name: 'Full screen' }).click()")
    await host.run("await view.getByRole('button', { name: 'Leave full screen' }).waitFor()")


# Bad input


async def test_hostile_strings_in_every_field_stay_text(open_host: OpenHost) -> None:
    host = await open_host()
    await host.run(
        "await page.evaluate((args) => host.bridge.sendToolInput({ arguments: args }), args)",
        args={"model": HOSTILE, "input": {"prompt": HOSTILE}, "client_ref": HOSTILE},
    )
    outputs = [
        {"url": f"{NOWHERE}/{HOSTILE}.png", "mime_type": HOSTILE},
        {"url": "javascript:alert(4)", "mime_type": "image/png"},
        {"url": "data:text/html,<script>alert(5)</script>", "mime_type": "text/html"},
        {"url": HOSTILE},
    ]
    members = dict.fromkeys(("run_id", "status", "model", "client_ref", "cost", "note", "created_at"), HOSTILE)
    await host.show(result(*outputs, **members))
    await host.shown("figure")
    assert HOSTILE in await host.text("h1")
    assert HOSTILE in await host.text("#facts")
    await host.show(result(output={HOSTILE: HOSTILE}, **members))
    await host.shown("pre")
    await host.show(error(code=HOSTILE, message=HOSTILE, next_action=HOSTILE, details={"run_id": HOSTILE}))
    await host.shown("#problem")
    await host.show({"content": [{"type": "text", "text": f"[x] {HOSTILE}\n{HOSTILE}"}], "isError": True})
    message = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1, "message": HOSTILE}}
    await host.run("await page.evaluate((message) => host.send(message), message)", message=message)
    await host.run("await page.evaluate((reason) => host.bridge.sendToolCancelled({ reason }), reason)", reason=HOSTILE)
    await host.run("await view.locator('#problem', { hasText: 'cancelled' }).waitFor()")
    record = await host.run("return record")
    assert (record["dialogs"], record["errors"]) == ([], [])
    assert await host.count("script") == 1
    assert await host.count("img[src=x]") == 0


async def test_a_dangerous_address_is_not_a_link(open_host: OpenHost) -> None:
    host = await open_host()
    urls = [
        "javascript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "blob:http://127.0.0.1/x",
        "file:///etc/passwd",
        "http://media.example.com/a.png",
        "http://localhost.example.com/a.png",
        "https://user:secret@media.example.com/a.png",
        "//media.example.com/a.png",
        "ftp://127.0.0.1/a.png",
        "a.png",
    ]
    await host.show(result(*({"url": url, "mime_type": "image/png"} for url in urls)))
    await host.shown("figure")
    assert await host.count("figure") == len(urls)
    assert await host.count("figure a, figure img") == 0
    shown = await host.text("#result")
    assert all(url in shown for url in urls)


async def test_media_that_do_not_load_leave_a_placeholder_with_the_link(open_host: OpenHost) -> None:
    host = await open_host()
    urls = {"picture": f"{NOWHERE}/a.png", "video": f"{NOWHERE}/a.mp4", "audio": f"{NOWHERE}/a.mp3"}
    await host.show(result(*({"url": url} for url in urls.values())))
    for kind, url in urls.items():
        await host.shown(f".missing:has-text('This {kind} could not be loaded')")
        assert await host.count(f".missing a[href='{url}']") == 1
    await host.tab.picture("placeholders")


async def test_a_thousand_outputs_are_shown_in_two_steps(open_host: OpenHost) -> None:
    host = await open_host()
    await host.show(result(*({"url": f"{NOWHERE}/{number}.bin"} for number in range(1000))))
    await host.shown("figure")
    assert await host.count("figure") == 24
    await host.run("await view.getByRole('button', { name: 'Show 976 more' }).press('Enter')")
    assert await host.count("figure") == 1000
    focused = await host.run("return view.locator(':focus').getAttribute('href')")
    assert focused == f"{NOWHERE}/24.bin"
    assert await host.run("return view.getByRole('button', { name: /^Show/ }).count()") == 0


async def test_a_text_of_a_megabyte_is_cut_until_it_is_asked_for(open_host: OpenHost) -> None:
    host = await open_host()
    length = "return view.locator('pre').evaluate((pre) => pre.textContent.length)"
    await host.show(result(output="word " * 200_000 + "end"))
    await host.shown("pre")
    assert await host.run(length) < 5000
    await host.run("await view.getByRole('button', { name: 'Show all 1,000,003 characters' }).click()")
    assert await host.run(length) == 1_000_003
    assert await host.run("return view.locator('pre').getAttribute('dir')") == "ltr"
    await host.show(result(output="שלום"))
    await host.run("await view.locator('pre[dir=rtl]').waitFor()")


async def test_names_in_right_to_left_script_are_written_from_the_right(open_host: OpenHost) -> None:
    host = await open_host()
    await host.run(
        "await page.evaluate((args) => host.bridge.sendToolInput({ arguments: args }), args)",
        args={"input": {"prompt": "منارة عند الغسق"}},
    )
    await host.show(result({"url": f"{NOWHERE}/منارة.bin"}, model="runflow/منارة", cost="١٢"))
    await host.shown("figure")
    direction = "return view.locator(selector).evaluate((one) => getComputedStyle(one).direction)"
    assert await host.run(direction, selector="#prompt") == "rtl"
    assert await host.run(direction, selector="figcaption span") == "rtl"
    assert await host.run(direction, selector="html") == "ltr"
    assert "منارة.bin" in await host.text("figcaption span")
    await host.tab.picture("right-to-left")


#: What is said in place of the params of any notification.
PARAMS: list[object] = [
    None, 7, [], "x",
    {"arguments": 5, "content": 5, "structuredContent": [], "reason": {}, "theme": 9, "styles": 3},
    {"content": [None, 5, {"type": "text", "text": 5}, {"type": "text", "text": "{broken"}], "isError": "no"},
    {"structuredContent": {"outputs": [None, 5, [], {"url": 5}, {}], "cost": {}, "duration_ms": -1}},
    {"structuredContent": {"outputs": {}, "run_id": 5, "duration_ms": 1e300, "output": [[]], "note": 3}},
    {"structuredContent": {"error": 5}, "isError": True}, {"structuredContent": {"error": {"details": 5}}},
    {"progress": "x", "total": 0, "message": {}}, {"progress": -5, "total": 1e308},
    {"styles": {"variables": 5, "css": 5}, "safeAreaInsets": {"top": "9", "left": -1}},
    {"availableDisplayModes": {}, "displayMode": 5, "styles": {"variables": {"--color-x": None}}},
]  # fmt: skip
METHODS = (
    "ui/notifications/tool-input",
    "ui/notifications/tool-result",
    "ui/notifications/tool-cancelled",
    "ui/notifications/host-context-changed",
    "notifications/progress",
)
NONSENSE: list[object] = [
    None, 5, "text", [], {}, {"jsonrpc": "1.0", "method": "ui/notifications/tool-result", "params": {}},
    {"jsonrpc": "2.0"}, {"jsonrpc": "2.0", "id": 99, "result": {}}, {"jsonrpc": "2.0", "id": {}, "error": 5},
    {"jsonrpc": "2.0", "method": 5}, {"jsonrpc": "2.0", "method": "__proto__", "params": {}},
    {"jsonrpc": "2.0", "method": "constructor"}, {"jsonrpc": "2.0", "method": "ui/unknown", "params": []},
    *({"jsonrpc": "2.0", "method": method, "params": params} for method in METHODS for params in PARAMS),
]  # fmt: skip


async def test_a_host_that_sends_nonsense_gets_no_further_than_the_next_result(open_host: OpenHost) -> None:
    host = await open_host()
    await host.run("await page.evaluate((all) => all.forEach((one) => host.send(one)), all)", all=NONSENSE)
    answer = await host.generate(model=IMAGE, input=LIGHTHOUSE)
    await loaded(host, "img")
    assert answer["structuredContent"]["run_id"] in await host.text("#facts")
    assert (await host.run("return record"))["errors"] == []


async def test_requests_of_the_host_are_answered(open_host: OpenHost) -> None:
    host = await open_host()
    for number, method in ((901, "ping"), (902, "ui/resource-teardown"), (903, "tools/call")):
        request = {"jsonrpc": "2.0", "id": number, "method": method}
        await host.run("await page.evaluate((request) => host.send(request), request)", request=request)
    answers = """
        await page.waitForFunction(() => host.received.some(({ id }) => id === 903));
        return page.evaluate(() => host.received.filter(({ id }) => id > 900));
    """
    ping, teardown, call = await host.run(answers)
    assert ping["result"] == teardown["result"] == {}
    assert call["error"]["code"] == -32601
