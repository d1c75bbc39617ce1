"""Runs return URLs of real files, which depend on the input and are the same at every read."""

import asyncio
import io
import wave
from base64 import b64decode
from typing import Any

import pytest
from PIL import Image

from runflow_mcp.sandbox.media import files
from runflow_mcp.sandbox.signing import sign
from tests.sandbox.api_client import MODEL, PROMPT, Client, Response, Serve
from tests.scripted_sandbox import ScriptedSandbox
from tests.virtual_time import VirtualClock

IMAGE = {"image_url": "https://example.com/cat.png"}


def only_url(run: Any) -> str:
    [item] = run["output"]["outputs"]
    url: str = item["url"]
    return url


def urls_in(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [url for item in value.values() for url in urls_in(item)]
    if isinstance(value, list):
        return [url for item in value for url in urls_in(item)]
    return [value] if isinstance(value, str) else []


async def test_an_output_is_a_png_that_can_be_read_without_a_key(client: Client) -> None:
    reply = await client.get(only_url(await client.finished()), key=None)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "image/png")
    picture = Image.open(io.BytesIO(reply.content))
    picture.load()
    assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (768, 768))


@pytest.mark.parametrize(
    ("model", "values", "size"),
    [
        (MODEL, {"aspect_ratio": "16:9"}, (1366, 768)),
        (MODEL, {"aspect_ratio": "auto"}, (768, 768)),
        ("openai/gpt-image-2", {"image_size": {"width": 1024, "height": 1536}}, (768, 1152)),
    ],
)
async def test_a_picture_has_the_aspect_ratio_of_the_input(
    client: Client, model: str, values: dict[str, object], size: tuple[int, int]
) -> None:
    reply = await client.get(only_url(await client.finished(model, {**PROMPT, **values})))
    assert Image.open(io.BytesIO(reply.content)).size == size


@pytest.mark.parametrize(
    "prompt",
    ["word " * 40_000, "W" * 200_000, "\u0301" * 100_000, "", None, 5, ["a"], "\x00\n"],
    ids=lambda p: repr(p)[:12],
)
async def test_any_prompt_gives_a_picture(client: Client, prompt: object) -> None:
    reply = await client.get(only_url(await client.finished("meta/sam-3/image", {**IMAGE, "prompt": prompt})))
    assert Image.open(io.BytesIO(reply.content)).size == (768, 768)


@pytest.mark.parametrize("model", ["runflow/background-removal", "bria/background/remove"])
async def test_a_background_removal_returns_a_transparent_background(client: Client, model: str) -> None:
    [url] = urls_in((await client.finished(model, IMAGE))["output"])
    picture = Image.open(io.BytesIO((await client.get(url)).content))
    assert (picture.mode, picture.getpixel((0, 0)), picture.getchannel("A").getextrema()) == (
        "RGBA",
        (0, 0, 0, 0),
        (0, 255),
    )


async def test_different_inputs_give_different_pictures_and_equal_inputs_equal_ones(client: Client) -> None:
    first, second, third = [
        (await client.get(only_url(await client.finished(MODEL, {"prompt": prompt})))).content
        for prompt in ("a cat", "a dog", "a cat")
    ]
    assert first == third
    assert first != second


async def test_num_images_determines_the_number_of_pictures_up_to_four(client: Client) -> None:
    urls = [item["url"] for item in (await client.finished(MODEL, {**PROMPT, "num_images": 9}))["output"]["outputs"]]
    assert len({(await client.get(url)).content for url in urls}) == 4


@pytest.mark.parametrize(
    ("model", "values", "shape"),
    [
        ("runflow/background-removal", IMAGE, {"image_urls": ["0.png"]}),
        ("runflow/skin-fix", IMAGE, {"image": {"url": "0.png"}}),
        ("google/veo3.1/fast", PROMPT, {"video": {"url": "0.webm"}}),
        ("elevenlabs/tts/eleven-v3", {"text": "hello"}, {"audio": {"url": "0.wav"}}),
    ],
)
async def test_the_shape_of_the_output_depends_on_the_model(
    client: Client, model: str, values: dict[str, str], shape: object
) -> None:
    run = await client.finished(model, values)

    def shortened(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: shortened(item) for name, item in value.items()}
        if isinstance(value, list):
            return [shortened(item) for item in value]
        return value.removeprefix(f"{client.url}/outputs/{run['id']}/").partition("?")[0]

    assert shortened(run["output"]) == shape


async def test_speech_is_a_wav_of_two_to_three_seconds(client: Client) -> None:
    run = await client.finished("elevenlabs/tts/eleven-v3", {"text": "hello"})
    reply = await client.get(run["output"]["audio"]["url"])
    assert reply.headers["Content-Type"] == "audio/wav"
    with wave.open(io.BytesIO(reply.content)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 22_050)
        assert 2 <= file.getnframes() / file.getframerate() <= 3
    assert len(reply.content) < 300_000


async def test_a_video_is_a_webm(client: Client) -> None:
    run = await client.finished("google/veo3.1/fast", PROMPT)
    reply = await client.get(run["output"]["video"]["url"], key=None)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "video/webm")
    assert reply.content.startswith(b"\x1aE\xdf\xa3")
    assert len(reply.content) < 400_000


@pytest.mark.parametrize(
    ("range_", "status", "part"),
    [
        ("bytes=0-99", 206, slice(0, 100)),
        ("bytes=100-", 206, slice(100, None)),
        ("bytes=-7", 206, slice(-7, None)),
        ("bytes=0-99999999", 206, slice(None)),
        ("bytes=0-1,5-6", 200, slice(None)),
        ("bytes=9-1", 200, slice(None)),
        ("lines=1-2", 200, slice(None)),
    ],
)
async def test_a_file_is_served_in_the_requested_range(client: Client, range_: str, status: int, part: slice) -> None:
    url = (await client.finished("elevenlabs/tts/eleven-v3", {"text": "hello"}))["output"]["audio"]["url"]
    whole = (await client.get(url)).content
    reply = await client.get(url, headers={"Range": range_})
    assert (reply.status, reply.headers["Accept-Ranges"], reply.content) == (status, "bytes", whole[part])
    first, last, _ = part.indices(len(whole))
    assert reply.headers.get("Content-Range") == (f"bytes {first}-{last - 1}/{len(whole)}" if status == 206 else None)


async def test_a_range_beyond_the_end_is_rejected_with_the_length(client: Client) -> None:
    url = (await client.finished("elevenlabs/tts/eleven-v3", {"text": "hello"}))["output"]["audio"]["url"]
    length = len((await client.get(url)).content)
    reply = await client.get(url, headers={"Range": f"bytes={length}-"})
    assert (reply.status, reply.headers["Content-Range"]) == (416, f"bytes */{length}")


async def test_sync_mode_returns_the_media_inline(client: Client) -> None:
    plain = await client.finished("bria/background/remove", IMAGE)
    inline = await client.finished("bria/background/remove", {**IMAGE, "sync_mode": True})
    assert only_url(plain).startswith(client.url)
    kind, _, encoded = only_url(inline).partition(",")
    assert kind == "data:image/png;base64"
    assert Image.open(io.BytesIO(b64decode(encoded))).size == (192, 192)


async def test_inline_media_are_drawn_once_for_all_polls(client: Client) -> None:
    run = await client.finished("sandbox/inline", {"prompt": "drawn once"})
    drawn = files.png.cache_info().misses
    assert (await client.run(run["id"])).json == run
    assert (await client.get("/v1/runs")).json["items"] == [run]
    assert files.png.cache_info().misses == drawn


async def test_other_requests_are_handled_while_a_video_is_drawn(client: Client, clock: VirtualClock) -> None:
    url = (await client.finished("google/veo3.1/fast", {"prompt": "a long drawing"}))["output"]["video"]["url"]
    started = clock.monotonic()
    drawing = asyncio.ensure_future(client.get(url))
    for _ in range(3):
        assert (await client.get("/v1/health")).status == 200
    assert not drawing.done()
    assert (await drawing).status == 200
    assert clock.monotonic() == started


async def test_only_the_outputs_of_a_succeeded_run_are_found(client: Client) -> None:
    created = (await client.create()).json["id"]
    finished = (await client.finished())["id"]
    await client.finished("sandbox/failing")
    failed = list(client.sandbox.runs)[-1].id
    new = (await client.create()).json["id"]

    async def read(path: str) -> Response:
        return await client.get(sign(f"/outputs/{path}", client.sandbox.clock.wall()))

    assert (await read(f"{created}/0.png")).status == 200
    wrong_kinds = (f"{finished}/0.wav", f"{finished}/0.webm")
    for path in (f"{new}/0.png", f"{finished}/1.png", *wrong_kinds, f"{failed}/0.png", "none/0.png"):
        assert (await read(path)).error_code == (404, "NOT_FOUND")


async def test_a_link_works_for_fifteen_minutes_and_every_read_signs_anew(client: Client, clock: VirtualClock) -> None:
    run = await client.finished()
    url = only_url(run)
    await clock.sleep(15 * 60 - 1)
    assert (await client.get(url)).status == 200
    await clock.sleep(2)
    assert (await client.get(url)).error_code == (403, "LINK_EXPIRED")
    fresh = only_url((await client.run(run["id"])).json)
    assert fresh != url
    assert (await client.get(fresh)).status == 200


@pytest.mark.parametrize("change", [("Expires=900", "Expires=9000"), ("Date=2", "Date=3"), ("/0.png", "/1.png")])
async def test_a_link_that_was_changed_does_not_work(client: Client, change: tuple[str, str]) -> None:
    url = only_url(await client.finished()).replace(*change)
    assert (await client.get(url)).error_code == (403, "SIGNATURE_DOES_NOT_MATCH")
    assert (await client.get(url.partition("?")[0])).error_code == (403, "SIGNATURE_DOES_NOT_MATCH")


async def test_the_same_seed_and_clock_give_the_same_runs_byte_for_byte(serve: Serve, clock: VirtualClock) -> None:
    twins = [await serve(ScriptedSandbox(clock=clock, seed=seed)) for seed in (1, 1, 2)]
    first, second, different = [(await twin.create()).json["id"] for twin in twins]
    assert first == second != different
    await clock.sleep(10)
    bodies = [(await twin.run(first)).content.replace(twin.url.encode(), b"") for twin in twins[:2]]
    assert bodies[0] == bodies[1]
