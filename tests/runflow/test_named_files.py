"""The files that an input names: found inside lists and objects, counted, and replaced once they are uploaded."""

from typing import Any

import orjson
import pytest

from runflow_mcp.runflow.assets.media_inputs import MediaInputs
from runflow_mcp.runflow.assets.named_files import NO_FILES, NamedFiles, NamedFilesError, find_files
from runflow_mcp.runflow.assets.paths import LocalFile

TYPES = {"image": "image", "prompt": "string", "zip_url": "file", "file_image": "string", "config": "json"}
CATALOG = MediaInputs(dict(TYPES))


def find(value: Any, media: MediaInputs = CATALOG) -> tuple[NamedFiles, Any]:
    return find_files(orjson.dumps(value), lambda: media)


def test_paths_are_found_in_media_inputs_at_any_depth() -> None:
    found, replaced = find(
        {
            "image": "./a.png#bytes=1",
            "image_urls": ["https://example.com/b.png", "c.png", ["./d.png"]],
            "config": {"layers": [{"mask": "./e.png", "name": "./f.png"}], "note": "./g.png"},
            "prompt": "./h.png",
        }
    )
    assert [(file.path, file.inputs) for file in found.local] == [
        ("./a.png", ("image",)),
        ("c.png", ("image_urls[1]",)),
        ("./d.png", ("image_urls[2][0]",)),
        ("./e.png", ("config.layers[0].mask",)),
    ]
    assert replaced is None


@pytest.mark.parametrize(
    "value",
    [
        {"prompt": "./a.png"},
        {"prompt": "put x.png behind it", "text": "~/x.png"},
        {"file_image": "input.png", "zip_url": "https://example.com/a.zip"},
        {"image": "https://example.com/a.png#bytes=5", "image_urls": ["data:image/png;base64,AA=="]},
        {"image": "runflow://assets/0198c0de"},
        {"image": None, "mask": 5, "file": True, "photos": {}},
        {"strength": 0.5},
        {},
    ],
    ids=str,
)
def test_other_inputs_are_unchanged(value: Any) -> None:
    assert find(value) == (NO_FILES, None)


def test_the_name_of_a_file_in_an_archive_is_no_path_but_an_explicit_path_is() -> None:
    assert find({"file_image": "./input.png"})[0].local == (LocalFile("./input.png", inputs=("file_image",)),)


def test_an_upload_becomes_an_asset_wherever_it_stands() -> None:
    found, replaced = find(
        {"image": " runflow-upload://0198-a ", "config": {"x": ["RUNFLOW-UPLOAD://b.c_D"]}, "image_urls": ["./a.png"]}
    )
    assert found.uploads == ("0198-a", "b.c_D")
    assert [file.path for file in found.local] == ["./a.png"]
    assert replaced == {
        "image": "runflow://assets/0198-a",
        "config": {"x": ["runflow://assets/b.c_D"]},
        "image_urls": ["./a.png"],
    }


@pytest.mark.parametrize("asset_id", ["", ".", "..", "a/b", "../runs", "a b", "ä", "x" * 129, "a?b", "a#bytes=5"])
def test_an_upload_without_a_valid_id_is_an_error(asset_id: str) -> None:
    with pytest.raises(NamedFilesError) as error:
        find({"image": [f"runflow-upload://{asset_id}"]})
    assert error.value.place == "image[0]"


def test_a_prompt_that_mentions_an_upload_is_unchanged() -> None:
    assert find({"prompt": "runflow-upload:// is a scheme"}) == (NO_FILES, None)


def test_a_file_that_is_named_twice_is_one_file() -> None:
    found, _ = find({"image": "./a.png", "mask": "./a.png#bytes=5", "photo": "./a.png"})
    assert found.local == (LocalFile("./a.png", 5, "5", ("image", "mask", "photo")),)
    uploads, _ = find({"image": "runflow-upload://a", "mask": "runflow-upload://a"})
    assert uploads.uploads == ("a",)


def test_a_call_may_name_eight_files_at_most() -> None:
    eight = {"images": [*(f"./{number}.png" for number in range(6)), "runflow-upload://a", "runflow-upload://b"]}
    found, _ = find(eight)
    assert len(found.local) + len(found.uploads) == 8
    with pytest.raises(NamedFilesError, match="more than 8 files"):
        find({**eight, "mask": "./mask.png"})


def test_the_catalog_is_not_asked_for_an_input_without_any_file() -> None:
    def media() -> MediaInputs:
        raise AssertionError

    assert find_files(b'{"prompt":"a lighthouse at dusk","seed":5}', media) == (NO_FILES, None)
