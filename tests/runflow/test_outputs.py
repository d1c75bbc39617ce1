"""The files of a run: the URLs in its output and their media types."""

from collections.abc import Iterator

import pytest
from hypothesis import given

from runflow_mcp.json_types import JSON
from runflow_mcp.runflow.reading import links
from runflow_mcp.runflow.reading.media_types import media_type
from runflow_mcp.runflow.runs import outputs
from runflow_mcp.runflow.runs.outputs import MAX_OUTPUT_URLS, MAX_OUTPUTS_SIZE, find_outputs
from tests.protocol.property_settings import json_values, law
from tests.virtual_time import real_seconds

URL = "https://cdn.example.com/a.png?sig=1"
OTHER = "https://cdn.example.com/b.png"
BASE = "https://api.runflow.io"
LONG_MEDIA = "data:image/png;base64," + "A" * 3000


def output_urls(output: JSON, run_input: JSON = None, base_url: str = BASE) -> list[str]:
    return [found.url for found in find_outputs(output, run_input, base_url)]


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


def test_the_number_of_urls_is_limited() -> None:
    assert len(output_urls([f"https://a/{number}" for number in range(MAX_OUTPUT_URLS + 5)])) == MAX_OUTPUT_URLS


@pytest.mark.parametrize(
    "text",
    [
        *("https://", "https:///x", "https://?", "https://user:@/x", "https://[oops/x.png", "https://[::1/x"),
        *("https://h:99999/x", "https://h:0/x", "http://%zz/", "https://a|b/x", "https://a^b/", "https://a\x00b/x"),
        *(
            "https://a b/x",
            "ftp://a/x",
            "//a/x",
            "a.png",
            "./a.png",
            "a/b.png",
            "javascript:alert(1)",
            "http://080/",
            "http://a.0/",
        ),
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
def test_a_text_that_a_client_cannot_parse_as_a_url_is_not_a_link(text: str) -> None:
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
def test_a_url_that_clients_can_parse_is_a_link(text: str) -> None:
    assert output_urls({"url": text}) == [text]


@pytest.mark.parametrize("text", ["https://" + "a" * 3_000_000 + "!", "https://" + "a." * 1_000_000, "h" * 3_000_000])
def test_a_text_of_megabytes_is_not_parsed_as_a_link(text: str) -> None:
    """A pattern that tries every way to match would be at it for hours."""
    began = real_seconds()
    assert output_urls({"text": text}) == []
    assert real_seconds() - began < 5


@law
@given(json_values)
def test_searching_an_output_never_fails(output: object) -> None:
    urls = output_urls(output)
    assert len(urls) == len(set(urls))
    assert all(url.lower().startswith(("http://", "https://")) for url in urls)


SUFFIXES = {
    "jpeg": "image/jpeg",
    "heic": "image/heic",
    "heif": "image/heif",
    "avif": "image/avif",
    "jxl": "image/jxl",
    "bmp": "image/bmp",
    "ico": "image/vnd.microsoft.icon",
    "psd": "image/vnd.adobe.photoshop",
    "exr": "image/x-exr",
    "hdr": "image/vnd.radiance",
    "svg": "image/svg+xml",
    "tiff": "image/tiff",
    "mkv": "video/x-matroska",
    "m4v": "video/x-m4v",
    "avi": "video/x-msvideo",
    "ogv": "video/ogg",
    "mov": "video/quicktime",
    "MP4": "video/mp4",
    "m3u8": "application/vnd.apple.mpegurl",
    "aac": "audio/aac",
    "opus": "audio/opus",
    "oga": "audio/ogg",
    "weba": "audio/webm",
    "mid": "audio/midi",
    "gltf": "model/gltf+json",
    "glb": "model/gltf-binary",
    "usdz": "model/vnd.usdz+zip",
    "obj": "model/obj",
    "stl": "model/stl",
    "ply": "model/ply",
    "fbx": "model/fbx",
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
    "ttml": "application/ttml+xml",
    "dng": "image/x-adobe-dng",
    "m2ts": "video/mp2t",
    "3g2": "video/3gpp2",
    "f4v": "video/x-f4v",
    "mxf": "application/mxf",
    "mka": "audio/x-matroska",
    "mp2": "audio/mpeg",
    "ac3": "audio/ac3",
    "usda": "model/vnd.usda",
    "usdc": "model/vnd.usd",
}


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
        ("https://a/outputs%2Fimage.png?alt=media", "image/png"),
        ("https://a/photo%2Epng", "image/png"),
        ("https://a/b.png?response-content-type=image%2Fwebp", "image/webp"),
        ("https://a/b.png?response-content-type=binary%2Foctet-stream", "image/png"),
        ("https://a/view?filename=ComfyUI_0001.png&type=output", "image/png"),
        ("https://a/render?format=webp", "image/webp"),
        ("https://a/b.png?format=auto", "image/png"),
        *((f"https://a/b.{suffix}", kind) for suffix, kind in SUFFIXES.items()),
        ("https://a/", None),
        ("https://a", None),
    ],
)
def test_the_media_type_follows_from_the_url(url: str, kind: str | None) -> None:
    assert media_type(url) == kind


PLAIN = "https://cdn.example.com/file"
#: What stands beside a URL → the media type of that output.
BESIDE: dict[str, tuple[dict[str, object], str | None]] = {
    "content_type": ({"url": PLAIN, "content_type": "image/webp"}, "image/webp"),
    "mime_type": ({"url": PLAIN, "mime_type": "video/mp4"}, "video/mp4"),
    "mimeType": ({"uri": PLAIN, "mimeType": "audio/mpeg"}, "audio/mpeg"),
    "media_type": ({"href": PLAIN, "media_type": "model/gltf-binary"}, "model/gltf-binary"),
    "contentType": ({"image_url": PLAIN, "contentType": "image/png"}, "image/png"),
    "before the URL": ({"content_type": "image/webp", "url": PLAIN}, "image/webp"),
    "in capitals, with parameters": ({"url": PLAIN, "content_type": " IMAGE/PNG; charset=binary"}, "image/png"),
    "against the suffix": ({"url": f"{PLAIN}.png", "content_type": "image/webp"}, "image/webp"),
    "one that says nothing": ({"url": f"{PLAIN}.png", "content_type": "application/octet-stream"}, "image/png"),
    "no media type": ({"url": f"{PLAIN}.png", "media_type": "image"}, "image/png"),
    "null": ({"url": PLAIN, "content_type": None}, None),
    "a number": ({"url": PLAIN, "content_type": 5}, None),
    "a text of megabytes": ({"url": PLAIN, "content_type": "image/" + "x" * 3_000_000}, None),
    "a file name": ({"url": PLAIN, "file_name": "out.PNG"}, "image/png"),
    "a format": ({"url": PLAIN, "format": "png"}, "image/png"),
    "another output's": ({"url": PLAIN, "more": {"content_type": "image/webp"}}, None),
    "two URLs and none that is the file's own": ({"a": PLAIN, "b": URL, "content_type": "image/webp"}, None),
}


@pytest.mark.parametrize(("output", "kind"), BESIDE.values(), ids=BESIDE)
def test_the_members_beside_a_url_give_its_media_type(output: dict[str, object], kind: str | None) -> None:
    assert find_outputs({"images": [output]})[0].mime_type == kind


def test_a_declared_media_type_is_that_of_the_file_and_not_of_its_preview() -> None:
    file = {"thumbnail_url": f"{PLAIN}/thumb", "url": PLAIN, "content_type": "video/mp4"}
    assert [(found.url, found.mime_type) for found in find_outputs(file)] == [
        (PLAIN, "video/mp4"),
        (f"{PLAIN}/thumb", None),
    ]


#: Members that are no outputs, beside one that is.
NO_OUTPUTS: dict[str, dict[str, object]] = {
    **{name: {name: OTHER} for name in ("status_url", "response_url", "cancel_url", "poll_url", "polling_url")},
    **{name: {name: OTHER} for name in ("webhook_url", "callback_url", "logs_url", "log_url", "queue_status_url")},
    **{name: {name: OTHER} for name in ("statusUrl", "cancelURL", "webhook", "callback", "upload_url", "docs_url")},
    **{name: {name: OTHER} for name in ("input_image", "input_image_url", "source_image_url", "reference_image")},
    **{name: {name: [OTHER]} for name in ("input_images", "reference_image_urls", "inputImages", "init_images")},
    "links.self": {"links": {"self": OTHER, "cancel": f"{OTHER}?cancel"}},
    "_links": {"_links": {"self": {"href": OTHER}}},
    "urls of a queue": {"urls": {"get": OTHER, "cancel": f"{OTHER}?cancel", "stream": f"{OTHER}?stream"}},
    **{name: {name: OTHER} for name in ("monitor_url", "tracking_url", "refresh_url", "abort_url", "stopUrl")},
    **{name: {name: OTHER} for name in ("manage_url", "update_url", "metrics_url", "operation_url", "fetch_result")},
    "a list of links": {"links": [{"rel": "self", "href": OTHER}, {"href": f"{OTHER}?2", "rel": "Cancel"}]},
    "the run itself": {"run": f"{BASE}/v1/runs/0193"},
    "parameters": {"parameters": {"image": OTHER}, "arguments": {"mask": OTHER}, "request": {"image": OTHER}},
    "a file of the maker's machine": {"url": "/mnt/out.png", "path": "/outputs/x.png", "file": "out.png"},
    "other schemes": {"url": "s3://bucket/x.png", "uri": "gs://bucket/x.png", "href": "C:\\x.png"},
}


@pytest.mark.parametrize("others", NO_OUTPUTS.values(), ids=NO_OUTPUTS)
def test_addresses_that_are_not_files_are_left_out(others: dict[str, object]) -> None:
    assert output_urls({**others, "image": {"url": URL}}) == [URL]
    assert output_urls({"image": {"url": URL}, **others}) == [URL]


def test_an_address_of_the_input_is_not_an_output_whatever_its_name() -> None:
    run_input = {"image_url": OTHER, "layers": [{"source_image": f"{OTHER}?2"}]}
    assert output_urls({"original": OTHER, "image": URL, "layer": f"{OTHER}?2"}, run_input) == [URL]


@pytest.mark.parametrize(
    "name", ["response", "result", "data", "output", "links", "urls", "original", "download_url", "track_url"]
)
def test_members_with_other_names_may_hold_outputs(name: str) -> None:
    assert output_urls({name: [URL]}) == [URL]


@pytest.mark.parametrize(
    "preview", [{"thumbnail": {"url": OTHER}}, {"thumbnail_url": OTHER}, {"previewUrls": [OTHER]}, {"poster": OTHER}]
)
def test_previews_come_after_the_files(preview: dict[str, object]) -> None:
    assert output_urls({**preview, "video": {"url": URL}, "audio": {"url": f"{URL}2"}}) == [URL, f"{URL}2", OTHER]
    assert output_urls(preview) == [OTHER]


@pytest.mark.parametrize(
    ("output", "url"),
    [
        ({"url": "/outputs/x.png"}, f"{BASE}/outputs/x.png"),
        ({"image_urls": ["/outputs/x.png?a=b"]}, f"{BASE}/outputs/x.png?a=b"),
        ({"image": "//cdn.example.com/x.png"}, "https://cdn.example.com/x.png"),
        (["//cdn.example.com:8443/x.png"], "https://cdn.example.com:8443/x.png"),
        ({"url": "cdn.example.com/x.png"}, "https://cdn.example.com/x.png"),
        ({"url": "storage.googleapis.com/b/x.png"}, "https://storage.googleapis.com/b/x.png"),
        ({"url": "v3.fal.media/files/x.png"}, "https://v3.fal.media/files/x.png"),
        ({"links": [{"rel": "enclosure", "href": URL}]}, URL),
        ({"url": f"  {URL}\n"}, URL),
    ],
)
def test_an_address_without_scheme_or_host_is_completed(output: object, url: str) -> None:
    assert output_urls(output) == [url]


@pytest.mark.parametrize(
    "output",
    [
        *({"image": "/outputs/x.png"}, {"image": "cdn.example.com/x.png"}, {"url": "x.png"}, {"url": "out.d/x.png"}),
        *({"url": "//"}, {"url": "/"}, {"url": "//x"}, {"text": "// a comment"}, {"url": "/a b"}, {"url": "/home/u/x"}),
    ],
    ids=str,
)
def test_an_address_whose_completion_would_be_a_guess_is_left_out(output: object) -> None:
    assert [url for url in output_urls(output) if url != f"{BASE}/"] == []


def test_a_relative_address_is_left_out_if_the_base_url_has_a_path() -> None:
    assert output_urls({"url": "/outputs/x.png"}, base_url="https://gateway.example.com/runflow") == []


# The work, counted


def test_the_size_of_all_urls_together_is_limited() -> None:
    path = "\u00fc" * 3000
    urls = [f"https://a/{number}/{path}" for number in range(500)]
    assert 0 < sum(len(url.encode()) for url in output_urls(urls)) < MAX_OUTPUTS_SIZE + 8192


class Counted(list[JSON]):
    """A list that counts how many of its items were taken."""

    taken = 0

    def __iter__(self) -> Iterator[JSON]:
        for item in super().__iter__():
            self.taken += 1
            yield item


@pytest.mark.parametrize(
    "item",
    [{}, [], 1, "", None, "https://a:0/", "http://\u00fc..de/", {"url": "http://\u00fc.de/"}, {"input": {}}],
    ids=str,
)
def test_the_number_of_visited_values_is_limited(item: object) -> None:
    values = Counted([item] * 200_000)
    find_outputs(values, values, BASE)
    assert values.taken <= 4 * outputs.MAX_SEARCHED_VALUES + 2


def test_the_number_of_checked_links_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = 0
    judge = links.LinkReader._check_host  # noqa: SLF001 - counted, not called

    def counted(self: links.LinkReader, host: str) -> bool:
        nonlocal judged
        judged += 1
        return judge(self, host)

    monkeypatch.setattr(links.LinkReader, "_check_host", counted)
    assert find_outputs([f"https://a..{number}/" for number in range(100_000)]) == []
    assert judged <= links.MAX_EXAMINED / 512
    found = find_outputs([f"https://m\u00fcnchen{number}.example/" for number in range(100_000)])
    assert 0 < len(found) <= links.MAX_INTERNATIONAL / 15


def test_a_repeated_link_does_not_hide_the_next_link() -> None:
    assert output_urls([URL] * 10_000 + [OTHER]) == [URL, OTHER]


def test_an_international_host_is_checked_once() -> None:
    assert len(find_outputs([f"https://m\u00fcnchen.de/{number}" for number in range(900)])) == 900
