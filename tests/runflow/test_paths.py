"""Which texts are paths of the caller's machine, what they say about the size, and which inputs may hold media."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runflow_mcp.runflow.assets.media_inputs import Holds, MediaInputs, by_name
from runflow_mcp.runflow.assets.paths import MAX_FILE_BYTES, MAX_PATH, LocalFile, read_path

PATHS = [
    "./shoe.png",
    "../shoe.png",
    "./no-suffix",
    "/home/ann/shoe.png",
    "/home/ann/shoe",
    "~/shoe.png",
    "C:\\Users\\ann\\shoe.png",
    "C:/Users/ann/shoe.png",
    "d:/x",
    ".\\shoe.png",
    "..\\shoe.png",
    "\\\\server\\share\\shoe.png",
    "shoe.png",
    "pics/shoe.png",
    "pics\\shoe.png",
    "SHOE.PNG",
    "my shoe.jpeg",
    "-rf.png",
    "clip.mp4",
    "voice.wav",
    "photo.heic",
    "photos.zip",
    "a:b c.png",
    "Screenshot 2026-01-01 at 10:00:00.png",
    "'; rm -rf ~; '.png",
    "$(id).png",
    "a\nb.png",
    "schöne schuhe 👟.png",
]
URLS = {
    "file:///home/ann/shoe.png": "/home/ann/shoe.png",
    "FILE:///home/ann/my%20shoe.png": "/home/ann/my shoe.png",
    "file://localhost/home/ann/x.png": "/home/ann/x.png",
    "file:///C:/Users/ann/x.png": "C:/Users/ann/x.png",
    "file://server/share/x.png": "//server/share/x.png",
    "file:///home/%FF.png": "/home/%FF.png",
    "file:///home/sch%C3%B6n.png": "/home/schön.png",
}
NO_PATHS = [
    "",
    " ",
    "https://example.com/shoe.png",
    "HTTPS://EXAMPLE.COM/SHOE.PNG",
    "http://example.com/shoe.png#bytes=5",
    "//cdn.example.com/shoe.png",
    "data:image/png;base64,iVBORw0KGgo=",
    "runflow://assets/0198",
    "runflow-upload://0198",
    "s3://bucket/shoe.png",
    "gs://bucket/shoe.png",
    "blob:https://example.com/1",
    "shoe",
    "a red shoe on a beach",
    "a shoe, as in example.pdf and more",
    "image.notasuffix",
    "<image_url>",
    ".",
    "..",
    "/9j/" + "4AAQSkZJRgABAQ" * 40,
    "iVBORw0KGgoAAAANSUhEUg" * 40,
    "./" + "x" * MAX_PATH,
    "./nul\x00.png",
]


@pytest.mark.parametrize("text", PATHS)
def test_a_path_is_recognised(text: str) -> None:
    assert read_path(text) == LocalFile(text)
    assert read_path(f"{text}#bytes=48213") == LocalFile(text, 48213, "48213")


@pytest.mark.parametrize("text", URLS)
def test_a_file_url_is_the_path_in_it(text: str) -> None:
    assert read_path(text) == LocalFile(URLS[text])
    assert read_path(f"{text}#bytes=5") == LocalFile(URLS[text], 5, "5")


@pytest.mark.parametrize("text", NO_PATHS)
def test_any_other_text_is_not_a_path(text: str) -> None:
    assert read_path(text) is None


@pytest.mark.parametrize("text", [*PATHS[:12], *URLS])
def test_a_path_with_an_explicit_beginning_needs_no_suffix(text: str) -> None:
    assert read_path(text, bare=False)


@pytest.mark.parametrize("text", ["shoe.png", "pics/shoe.png", "shoe#bytes=5", *NO_PATHS])
def test_a_bare_name_is_not_a_path_where_it_may_be_something_else(text: str) -> None:
    assert read_path(text, bare=False) is None


def test_white_space_around_a_path_is_removed_unless_it_belongs_to_the_name() -> None:
    assert read_path(" ./shoe.png ") == LocalFile("./shoe.png")
    assert read_path("\tshoe.png\n") == LocalFile("shoe.png")
    assert read_path("./shoe ") == LocalFile("./shoe ")


def test_a_name_without_a_suffix_is_a_path_when_it_has_a_size() -> None:
    assert read_path("shoe#bytes=12") == LocalFile("shoe", 12, "12")


@pytest.mark.parametrize(
    ("stated", "size"),
    [
        ("1", 1),
        ("007", 7),
        (str(MAX_FILE_BYTES), MAX_FILE_BYTES),
        ("0", None),
        (str(MAX_FILE_BYTES + 1), None),
        ("9" * 30, None),
        ("-5", None),
        ("+5", None),
        ("5.0", None),
        ("1e3", None),
        ("1,000", None),
        ("5 ", None),
        ("٥", None),
        ("", None),
        ("<size>", None),
    ],
)
def test_a_size_is_a_whole_number_up_to_50_mib(stated: str, size: int | None) -> None:
    assert read_path(f"./x.png#bytes={stated}") == LocalFile("./x.png", size, stated)


def test_only_the_last_mark_is_the_size() -> None:
    assert read_path("./odd#bytes=1.png#bytes=5") == LocalFile("./odd#bytes=1.png", 5, "5")


@given(st.text(), st.booleans())
def test_reading_never_fails_and_finds_no_path_in_a_url(text: str, bare: bool) -> None:  # noqa: FBT001
    read_path(text, bare=bare)
    for scheme in ("https://", "http://", "data:", "runflow://", "HTTPS://"):
        assert read_path(scheme + text, bare=bare) is None


@pytest.mark.parametrize(
    ("path", "name", "media_type"),
    [
        ("./a/shoe.PNG", "shoe.PNG", "image/png"),
        ("C:\\a\\clip.mp4", "clip.mp4", "video/mp4"),
        ("/home/x", "x", "application/octet-stream"),
        ("./a.b/x", "x", "application/octet-stream"),
        ("./pics/", "", "application/octet-stream"),
    ],
)
def test_a_file_has_a_name_and_a_media_type(path: str, name: str, media_type: str) -> None:
    assert (LocalFile(path).name, LocalFile(path).media_type) == (name, media_type)


@pytest.mark.parametrize(
    "name",
    [
        *("image", "images", "video", "audio", "mask", "photos", "file", "url", "image_url", "image_urls", "imageUrl"),
        *("imageURL", "startImageUrl", "IMAGE_URL", "reference-photo", "image_2", "source.file", "audios"),
    ],
)
def test_the_last_word_of_a_name_says_that_an_input_holds_media(name: str) -> None:
    assert by_name(name) is Holds.MEDIA
    assert MediaInputs({"other": "string"}).holds(name) is Holds.MEDIA
    assert MediaInputs({name: None}).holds(name) is Holds.MEDIA


@pytest.mark.parametrize(
    "name", ["prompt", "profile", "image_size", "image_prompt", "file_format", "curl", "unmask", "text", "", "_", "7"]
)
def test_other_names_hold_no_media(name: str) -> None:
    assert by_name(name) is Holds.NO_MEDIA
    assert MediaInputs().holds(name) is Holds.NO_MEDIA


@pytest.mark.parametrize(
    ("name", "stated", "holds"),
    [
        *(("x", kind, Holds.MEDIA) for kind in ("image", "Image", "image_list", "images", "video", "audio", "file")),
        *(("x", kind, Holds.MEDIA) for kind in ("media", "array<image>", "image[]", "list of videos", "image_url")),
        ("image", "json", Holds.NO_MEDIA),
        ("image", "integer", Holds.NO_MEDIA),
        ("image", "image_size", Holds.NO_MEDIA),
        ("prompt", "string", Holds.NO_MEDIA),
        ("profile", "string", Holds.NO_MEDIA),
        ("image_url", "string", Holds.MEDIA),
        ("image_urls", "array", Holds.MEDIA),
        ("masks", "array", Holds.MEDIA),
        ("prompts", "array", Holds.NO_MEDIA),
        # The name of a file in an archive, in some Solutions.
        ("file_image", "string", Holds.MAYBE_MEDIA),
    ],
)
def test_the_type_in_the_catalog_outweighs_the_name(name: str, stated: str, holds: Holds) -> None:
    assert MediaInputs({name: stated}).holds(name) is holds
