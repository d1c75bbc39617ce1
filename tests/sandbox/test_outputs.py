"""What runs return: URLs of real files that differ from run to run and are the same every time."""

import asyncio
import io
import wave
from base64 import b64decode
from typing import Any

import pytest
from PIL import Image

from runflow_mcp.sandbox import Sandbox
from runflow_mcp.sandbox.media import files as media
from tests.sandbox.client import MODEL, PROMPT, Client, Serve
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


async def test_an_output_is_a_real_png_that_needs_no_key(client: Client) -> None:
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
async def test_a_picture_has_the_proportions_that_were_asked_for(
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
async def test_the_removal_of_a_background_leaves_a_transparent_one(client: Client, model: str) -> None:
    [url] = urls_in((await client.finished(model, IMAGE))["output"])
    picture = Image.open(io.BytesIO((await client.get(url)).content))
    assert (picture.mode, picture.getpixel((0, 0)), picture.getchannel("A").getextrema()) == (
        "RGBA",
        (0, 0, 0, 0),
        (0, 255),
    )


async def test_two_inputs_give_two_pictures_and_the_same_input_gives_the_same(client: Client) -> None:
    first, second, third = [
        (await client.get(only_url(await client.finished(MODEL, {"prompt": prompt})))).content
        for prompt in ("a cat", "a dog", "a cat")
    ]
    assert first == third
    assert first != second


async def test_as_many_pictures_come_as_were_asked_for_up_to_four(client: Client) -> None:
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
        return value.removeprefix(f"{client.url}/outputs/{run['id']}/")

    assert shortened(run["output"]) == shape


async def test_speech_is_a_real_wav(client: Client) -> None:
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
    ("asked", "status", "part"),
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
async def test_a_file_is_served_in_parts_to_players_that_ask_for_them(
    client: Client, asked: str, status: int, part: slice
) -> None:
    url = (await client.finished("elevenlabs/tts/eleven-v3", {"text": "hello"}))["output"]["audio"]["url"]
    whole = (await client.get(url)).content
    reply = await client.get(url, headers={"Range": asked})
    assert (reply.status, reply.headers["Accept-Ranges"], reply.content) == (status, "bytes", whole[part])
    first, last, _ = part.indices(len(whole))
    assert reply.headers.get("Content-Range") == (f"bytes {first}-{last - 1}/{len(whole)}" if status == 206 else None)


async def test_a_part_beyond_the_end_is_refused_with_the_length(client: Client) -> None:
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
    drawn = media.png.cache_info().misses
    assert (await client.run(run["id"])).json == run
    assert (await client.get("/v1/runs")).json["items"] == [run]
    assert media.png.cache_info().misses == drawn


async def test_other_requests_are_answered_while_a_video_is_drawn(client: Client, clock: VirtualClock) -> None:
    url = (await client.finished("google/veo3.1/fast", {"prompt": "nobody waits for this"}))["output"]["video"]["url"]
    began = clock.monotonic()
    drawing = asyncio.ensure_future(client.get(url))
    for _ in range(3):
        assert (await client.get("/v1/health")).status == 200
    assert not drawing.done()
    assert (await drawing).status == 200
    assert clock.monotonic() == began


async def test_there_is_no_file_before_the_run_has_succeeded_nor_beyond_its_outputs(client: Client) -> None:
    created = (await client.create()).json["id"]
    finished = (await client.finished())["id"]
    await client.finished("sandbox/failing")
    failed = list(client.sandbox.runs)[-1].id
    new = (await client.create()).json["id"]
    assert (await client.get(f"/outputs/{created}/0.png")).status == 200
    wrong_kinds = (f"{finished}/0.wav", f"{finished}/0.webm")
    for path in (f"{new}/0.png", f"{finished}/1.png", *wrong_kinds, f"{failed}/0.png", "none/0.png"):
        assert (await client.get(f"/outputs/{path}")).refusal == (404, "NOT_FOUND")


async def test_the_same_seed_and_clock_give_the_same_runs_byte_for_byte(serve: Serve, clock: VirtualClock) -> None:
    twins = [await serve(Sandbox(clock=clock, seed=seed)) for seed in (1, 1, 2)]
    first, second, other = [(await twin.create()).json["id"] for twin in twins]
    assert first == second != other
    await clock.sleep(10)
    one, two = [(await twin.run(first)).content.replace(twin.url.encode(), b"") for twin in twins[:2]]
    assert one == two
