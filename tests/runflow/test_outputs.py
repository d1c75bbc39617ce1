"""What a run brought: the URLs in its output, their media types, and inline media left out."""

from typing import Any

import orjson
import pytest
from hypothesis import given

from runflow_mcp.runflow.outputs import MAX_OUTPUT_URLS, media_type, output_urls, without_inline_media
from tests.protocol.laws import json_values, law
from tests.virtual_time import real_seconds

URL = "https://cdn.example.com/a.png?sig=1"
OTHER = "https://cdn.example.com/b.png"
LONG_MEDIA = "data:image/png;base64," + "A" * 3000

# Outputs

OUTPUTS: dict[str, tuple[object, list[str]]] = {
    "outputs": ({"outputs": [{"url": URL}, {"url": OTHER}], "seed": 7, "nsfw_detected": False}, [URL, OTHER]),
    "image_urls": ({"image_urls": [URL, OTHER]}, [URL, OTHER]),
    "image": ({"image": {"url": URL}}, [URL]),
    "image as a list": ({"image": [URL, OTHER]}, [URL, OTHER]),
    "url": ({"url": URL}, [URL]),
    "image_url": ({"image_url": URL}, [URL]),
    "output_url": ({"output_url": URL}, [URL]),
    "images of URLs": ({"images": [URL]}, [URL]),
    "images of objects": ({"images": [{"url": URL, "width": 1, "content_type": "image/png"}]}, [URL]),
    "video": ({"video": {"url": URL}}, [URL]),
    "audio": ({"audio": {"url": URL}}, [URL]),
    "a bare URL": (URL, [URL]),
    "a bare list": ([URL, OTHER], [URL, OTHER]),
    "deeper": ({"data": {"result": [{"files": {"main": {"url": URL}}}]}}, [URL]),
    "the same twice": ({"image": {"url": URL}, "images": [{"url": URL}, {"url": OTHER}]}, [URL, OTHER]),
    "in capitals": ({"url": "HTTPS://CDN.example.com/A.PNG"}, ["HTTPS://CDN.example.com/A.PNG"]),
    "what went in": ({"input": {"image_url": OTHER}, "image": {"url": URL}}, [URL]),
    "timing and seed": ({"timing": {"trace": OTHER}, "seed": 5}, []),
    "text with a URL in it": ({"text": f"see {URL}"}, []),
    "other schemes": ({"url": "javascript:alert(1)", "image": "file:///etc/passwd", "x": "ftp://a/b"}, []),
    "inline media": ({"image": {"url": LONG_MEDIA}}, []),
    "nothing": (None, []),
    "numbers": ({"a": 1, "b": [2, None, True]}, []),
}


@pytest.mark.parametrize(("output", "urls"), OUTPUTS.values(), ids=OUTPUTS)
def test_urls_are_found_in_every_shape_of_output(output: object, urls: list[str]) -> None:
    assert output_urls(output) == urls


def test_urls_are_told_up_to_a_limit() -> None:
    assert len(output_urls([f"https://a/{number}" for number in range(MAX_OUTPUT_URLS + 5)])) == MAX_OUTPUT_URLS


@pytest.mark.parametrize(
    "text",
    [
        *("https://", "https:///x", "https://?", "https://user:@/x", "https://[oops/x.png", "https://[::1/x"),
        *("https://h:99999/x", "https://h:0/x", "http://%zz/", "https://a|b/x", "https://a^b/", "https://a\x00b/x"),
        *("https://a b/x", "ftp://a/x", "//a/x", "a.png", "javascript:alert(1)", "http://080/", "http://a.0/"),
        *(
            "http://h1.2/",
            "http://.1.2/",
            "https://256.1.1.1/x",
            "https://1.2.3.4.5/x",
            "https://xn--/x",
            "https://xn--a/x",
        ),
        *("http://\u0663.com.\u0663/", "https://a..b/x", "https://-/x", f"https://{'a' * 300}.com/x"),
    ],
)
def test_what_a_client_cannot_parse_is_no_link(text: str) -> None:
    """The Python SDK 1.x throws the whole result away for one such link."""
    assert output_urls({"url": text}) == []


@pytest.mark.parametrize(
    "text",
    [
        *(
            "HTTPS://A/x",
            "https://a.b-c_d.example:8443/x?y=%20&z#f",
            "http://[::1]:80/x",
            "https://m\u00fcnchen.de/\u00e9",
        ),
        *("https://user:word@a/x", "http://127.0.0.1:1/x", "https://a", "https://a/x|y^z"),
    ],
)
def test_what_a_client_can_parse_is_a_link(text: str) -> None:
    assert output_urls({"url": text}) == [text]


@pytest.mark.parametrize("text", ["https://" + "a" * 3_000_000 + "!", "https://" + "a." * 1_000_000, "h" * 3_000_000])
def test_a_text_of_megabytes_that_is_no_link_is_told_by_its_length(text: str) -> None:
    """A pattern that tries every way to match would be at it for hours."""
    began = real_seconds()
    assert output_urls({"text": text}) == []
    assert real_seconds() - began < 5


@law
@given(json_values)
def test_no_output_makes_the_search_fail(output: object) -> None:
    urls = output_urls(output)
    assert len(urls) == len(set(urls))
    assert all(url.lower().startswith(("http://", "https://")) for url in urls)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://a/b.png", "image/png"),
        ("https://a/b.JPG", "image/jpeg"),
        ("https://a/b.webp?sig=x.png", "image/webp"),
        ("https://a/b.mp4#t=1", "video/mp4"),
        ("https://a/b.c/d.wav", "audio/wav"),
        ("https://a/b.mp3", "audio/mpeg"),
        ("https://a/b", None),
        ("https://a/b.unknown", None),
        ("https://a.png/b", None),
        ("https://a/b?file=c.png", None),
        ("https://a/", None),
        ("https://a", None),
    ],
)
def test_the_media_type_is_the_one_that_the_path_promises(url: str, kind: str | None) -> None:
    assert media_type(url) == kind


# Inline media


@pytest.mark.parametrize("uri", [LONG_MEDIA, LONG_MEDIA.replace("data:", "DATA:")])
@pytest.mark.parametrize(
    "wrap", [lambda x: x, lambda x: {"image": {"url": x}}, lambda x: {"images": [{"url": x}, x]}, lambda x: [[[[x]]]]]
)
def test_long_inline_media_become_a_note_wherever_they_stand(uri: str, wrap: Any) -> None:
    shown = orjson.dumps(without_inline_media(wrap(uri))).decode()
    assert "AAAA" not in shown
    assert "image/png" in shown
    assert len(shown) < 500


@pytest.mark.parametrize(
    "uri", ["data:,x", "data:image/png;base64," + "A" * 2026, "A" * 5000, "https://a/" + "b" * 5000]
)
def test_anything_else_stays_as_it_is(uri: str) -> None:
    assert without_inline_media({"a": [uri, 1, None]}) == {"a": [uri, 1, None]}


@pytest.mark.parametrize("uri", ["data:" + "A" * 3000, "data:," + "A" * 3000, "data:;base64," + "A" * 3000])
def test_media_of_no_named_kind_become_a_note_too(uri: str) -> None:
    note = without_inline_media(uri)
    assert isinstance(note, str)
    assert len(note) < 300


@law
@given(json_values)
def test_leaving_media_out_changes_nothing_else(value: object) -> None:
    assert without_inline_media(value) == value
