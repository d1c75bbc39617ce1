"""What an answer shows of a JSON value: no long inline media, no long texts, a limited size in all."""

import base64
import re
from collections.abc import Callable, Iterator
from random import Random

import orjson
import pytest
from hypothesis import given

from runflow_mcp.json_types import JSON
from runflow_mcp.runflow.reading.trimming import (
    MAX_COPIED_VALUES,
    MAX_DEPTH,
    MAX_INLINE_MEDIA,
    MAX_SIZE,
    MAX_TEXT,
    trimmed,
    trimmed_text,
)
from tests.protocol.property_settings import json_values, law

MEDIA = b"\x89PNG\r\n\x1a\n" + Random(1).randbytes(9000)
BASE64 = base64.b64encode(MEDIA).decode()
URLSAFE = base64.urlsafe_b64encode(MEDIA).decode()
DATA_URI = f"data:image/png;base64,{BASE64}"
WRAPPED = base64.encodebytes(MEDIA).decode()

WRAPS: dict[str, Callable[[str], JSON]] = {
    "bare": lambda media: media,
    "url": lambda media: {"image": {"url": media}},
    "any name": lambda media: {"b64_json": media, "payload": media},
    "list": lambda media: {"images": [media, media]},
    "deep": lambda media: [[[[media]]]],
}
#: inline media as it may stand in a text → what is said of it.
INLINE = {
    "data URI": (DATA_URI, "image/png"),
    "data URI in capitals": (DATA_URI.replace("data:image", "DATA:IMAGE"), "image/png"),
    "data URI with parameters": (DATA_URI.replace(";base64", ";charset=utf-8;name=x.png;base64"), "image/png"),
    "data URI without a type": (f"data:;base64,{BASE64}", "media"),
    "data URI that is not base64": ('data:image/svg+xml;utf8,<svg a="b">' + "<g/>" * 1000, "image/svg+xml"),
    "base64": (BASE64, "image/png"),
    "base64 of a JPEG": ("/9j/" + BASE64, "image/jpeg"),
    "base64 without padding": (BASE64.rstrip("="), "image/png"),
    "base64 in lines": (WRAPPED, "image/png"),
    "base64 in lines of Windows": (WRAPPED.replace("\n", "\r\n"), "image/png"),
    "base64url": (URLSAFE, "image/png"),
    "hex": (MEDIA.hex(), "image/png"),
    "hex in capitals": (MEDIA.hex().upper(), "data"),
    "data with no type that is known": (base64.b64encode(b"\0\1\2" * 2000).decode(), "data"),
}


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
@pytest.mark.parametrize(("media", "kind"), INLINE.values(), ids=INLINE)
def test_long_inline_media_are_replaced_by_a_note_anywhere(media: str, kind: str, wrap: Callable[[str], JSON]) -> None:
    shown = orjson.dumps(trimmed(wrap(media))).decode()
    assert f"[inline {kind} of {len(media.strip())} characters left out" in shown
    assert len(shown) < 500


#: What stands before and after inline media in a text.
AROUND = {
    "prose": ("Here it is: ", " (the first of two)"),
    "Markdown": ("![lighthouse](", ")"),
    "HTML": ('<img src="', '" alt="lighthouse">'),
    "CSS": ("background: url('", "');"),
    "JSON": ('{"image":"', '","seed":5}'),
    "JSON in JSON": ('"{\\"image\\":\\"', '\\",\\"seed\\":5}"'),
    "XML": ("<data>", "</data>"),
    "lines": ("first\n", "\n\nlast"),
}


@pytest.mark.parametrize(("before", "after"), AROUND.values(), ids=AROUND)
@pytest.mark.parametrize(
    "media",
    [DATA_URI, BASE64, URLSAFE, DATA_URI.replace("/", "\\/")],
    ids=["data URI", "base64", "base64url", "escaped slashes"],
)
def test_media_inside_other_text_are_left_out_and_the_text_is_kept(media: str, before: str, after: str) -> None:
    text = trimmed_text(f"{before}{media}{after}")
    note = re.fullmatch(
        rf"{re.escape(before)}\[inline \S+ of (\d+) characters left out; [^]]+\]{re.escape(after)}", text
    )
    assert note is not None
    assert int(note[1]) == len(media)


def test_several_media_in_one_text_are_each_left_out() -> None:
    text = trimmed_text(f"a {DATA_URI} b {BASE64} c {DATA_URI} d")
    assert re.sub(r"\[[^]]+\]", "#", text) == "a # b # c # d"


def test_a_text_may_have_media_left_out_and_be_cut() -> None:
    text = trimmed_text(f"{'word ' * 10_000}{DATA_URI}")
    assert text.startswith("word word")
    assert str(50_000 + len(DATA_URI)) in text
    assert len(text) < MAX_TEXT + 200


@pytest.mark.parametrize(
    "text",
    [
        "data:,x",
        "data:image/png;base64," + "A" * (MAX_INLINE_MEDIA - 22),
        "A" * MAX_INLINE_MEDIA,
        "word " * 3000,
        "wort\n" * 3000,
        "\u6f22\u5b57" * 4000,
        "Data: " + "it is written here. " * 200,
        "https://a/" + "b" * 5000,
        "see https://a.example/x?token=" + "b" * 5000 + " for more",
        "\n".join(f"{number:064x}" for number in range(100)),
        "\n".join(f"images/2026/11/{number:08}/picture-of-a-lighthouse.png" for number in range(200)),
        "x" * 2000 + " " + "y" * 2000,
        " " * MAX_TEXT,
    ],
    ids=lambda text: text[:20],
)
def test_a_text_without_long_media_is_unchanged(text: str) -> None:
    assert trimmed({"a": [text, 1, None]}) == {"a": [text, 1, None]}


@pytest.mark.parametrize("length", [MAX_TEXT + 1, 100_000, 3_000_000])
@pytest.mark.parametrize("letter", ["a ", "\u00fc", "\u2028", "\0"], ids=ascii)
def test_a_long_text_is_cut_and_says_how_long_it_was(letter: str, length: int) -> None:
    text = (letter * length)[:length]
    shown = trimmed_text(text)
    assert shown.startswith(text[:MAX_TEXT])
    assert f"{length} characters" in shown[MAX_TEXT:]
    assert len(shown) < MAX_TEXT + 100


def test_a_long_name_is_cut_without_losing_a_member() -> None:
    shown = trimmed({"k" * 300_000 + str(number): number for number in range(3)})
    assert list(shown.values()) == [0, 1, 2]
    assert all("300001 characters" in name for name in shown)
    assert len(orjson.dumps(shown)) < 500


def test_a_value_that_is_nested_too_deeply_can_be_written() -> None:
    value: JSON = "x"
    for _ in range(900):
        value = [{"a": value}]
    assert b"nested too deeply" in orjson.dumps([[[trimmed(value)]]])


def test_ordinary_nesting_is_kept() -> None:
    value: JSON = "x"
    for _ in range(MAX_DEPTH):
        value = [value]
    assert trimmed(value) == value


@law
@given(json_values)
def test_a_value_with_nothing_too_long_is_unchanged(value: JSON) -> None:
    assert trimmed(value) == value


class Counted(list[JSON]):
    """A list that counts how many of its items were taken."""

    taken = 0

    def __iter__(self) -> Iterator[JSON]:
        for item in super().__iter__():
            self.taken += 1
            yield item


@pytest.mark.parametrize("item", [{}, [], 1, 0.1, "", "x" * 500, "\0" * 5000, {"a": {"b": []}}], ids=repr)
def test_the_size_of_a_value_and_the_work_are_limited(item: JSON) -> None:
    values = Counted([item] * 400_000)
    shown = trimmed(values)
    assert values.taken <= MAX_COPIED_VALUES + 1
    assert len(orjson.dumps(shown)) < MAX_SIZE + 6 * MAX_TEXT
    assert shown[:-2] == [item] * (len(shown) - 2)
    assert shown[-1] == f"[{400_000 - len(shown) + 1} more left out: the answer would be too long]"


def test_an_object_that_is_cut_says_how_many_members_it_lost() -> None:
    shown = trimmed({f"name-{number}": "word " * 100 for number in range(100_000)})
    kept = len(shown) - 1
    assert shown["[left out]"].startswith(f"{100_000 - kept} more")


def test_every_container_that_is_cut_says_so() -> None:
    shown = trimmed({"a": [["x " * 8000] * 50], "b": 5, "c": 6})
    assert shown["a"][0][-1].startswith("[")
    assert shown["[left out]"].startswith("2 more")
