"""What runs return: URLs of real files that differ from run to run and are the same every time."""

import io
import struct
import wave
import zlib
from base64 import b64decode
from typing import Any

import pytest

from runflow_mcp.sandbox import Sandbox
from runflow_mcp.sandbox.media import PNG_SIGNATURE, SIDE
from tests.sandbox.client import MODEL, PROMPT, Client, Serve
from tests.virtual_time import VirtualClock

IMAGE = {"image_url": "https://example.com/cat.png"}


def decode_png(content: bytes) -> tuple[int, int, bytes]:
    """Width, height and the unpacked scan lines; every checksum is verified."""
    assert content.startswith(PNG_SIGNATURE)
    chunks: dict[bytes, bytes] = {}
    position = len(PNG_SIGNATURE)
    while position < len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        data = content[position + 8 : position + 8 + length]
        assert struct.unpack_from(">I", content, position + 8 + length) == (zlib.crc32(kind + data),)
        chunks[kind] = data
        position += 12 + length
    assert list(chunks) == [b"IHDR", b"PLTE", b"IDAT", b"IEND"]
    width, height, depth, colour_type = struct.unpack_from(">IIBB", chunks[b"IHDR"])
    assert (depth, colour_type) == (8, 3)
    return width, height, zlib.decompress(chunks[b"IDAT"])


def only_url(run: Any) -> str:
    [item] = run["output"]["outputs"]
    url: str = item["url"]
    return url


async def test_an_output_is_a_real_png_that_needs_no_key(client: Client) -> None:
    reply = await client.get(only_url(await client.finished()), key=None)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "image/png")
    width, height, lines = decode_png(reply.content)
    assert (width, height, len(lines)) == (SIDE, SIDE, SIDE * (SIDE + 1))


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
        ("google/veo3.1/fast", PROMPT, {"video": {"url": "0.png"}}),
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
        assert (file.getframerate(), file.getnframes()) == (8000, 4000)


async def test_sync_mode_returns_the_media_inline(client: Client) -> None:
    plain = await client.finished("bria/background/remove", IMAGE)
    inline = await client.finished("bria/background/remove", {**IMAGE, "sync_mode": True})
    assert only_url(plain).startswith(client.url)
    kind, _, encoded = only_url(inline).partition(",")
    assert kind == "data:image/png;base64"
    decode_png(b64decode(encoded))


async def test_there_is_no_file_before_the_run_has_succeeded_nor_beyond_its_outputs(client: Client) -> None:
    created = (await client.create()).json["id"]
    finished = (await client.finished())["id"]
    await client.finished("sandbox/failing")
    failed = list(client.sandbox.runs)[-1].id
    new = (await client.create()).json["id"]
    assert (await client.get(f"/outputs/{created}/0.png")).status == 200
    for path in (f"{new}/0.png", f"{finished}/1.png", f"{finished}/0.wav", f"{failed}/0.png", "none/0.png"):
        assert (await client.get(f"/outputs/{path}")).refusal == (404, "NOT_FOUND")


async def test_the_same_seed_and_clock_give_the_same_runs_byte_for_byte(serve: Serve, clock: VirtualClock) -> None:
    twins = [await serve(Sandbox(clock=clock, seed=seed)) for seed in (1, 1, 2)]
    first, second, other = [(await twin.create()).json["id"] for twin in twins]
    assert first == second != other
    await clock.sleep(10)
    one, two = [(await twin.run(first)).content.replace(twin.url.encode(), b"") for twin in twins[:2]]
    assert one == two
