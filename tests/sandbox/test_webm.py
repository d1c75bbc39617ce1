"""A video is a valid WebM file: its elements can be parsed and its frames decoded."""

import io
import struct
from collections.abc import Iterator
from functools import cache

import pytest
from PIL import Image

from runflow_mcp.sandbox.media import files
from runflow_mcp.sandbox.media.files import FRAME_RATE, FRAMES, PictureSpec
from runflow_mcp.sandbox.media.webm import MAX_SECONDS, make_webm, vp8_frame

#: Small, for speed; test_outputs tests videos of the real size.
SIZE = (128, 72)
#: Elements that contain other elements.
MASTERS = {
    0x1A45DFA3: "EBML",
    0x18538067: "Segment",
    0x1549A966: "Info",
    0x1654AE6B: "Tracks",
    0xAE: "TrackEntry",
    0xE0: "Video",
    0x1C53BB6B: "Cues",
    0xBB: "CuePoint",
    0xB7: "CueTrackPositions",
    0x1F43B675: "Cluster",
}
VALUES = {
    0x4282: "DocType",
    0x4287: "DocTypeVersion",
    0x4285: "DocTypeReadVersion",
    0x2AD7B1: "TimestampScale",
    0x4489: "Duration",
    0xD7: "TrackNumber",
    0x83: "TrackType",
    0x86: "CodecID",
    0x23E383: "DefaultDuration",
    0xB0: "PixelWidth",
    0xBA: "PixelHeight",
    0xF1: "CueClusterPosition",
    0xE7: "Timestamp",
    0xA3: "SimpleBlock",
}


def elements(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[str, int, bytes]]:
    """Name, position and content of every element, parents before children."""
    position, end = start, len(data) if end is None else end
    while position < end:
        at = position
        id_, position = variable(data, position, keep_marker=True)
        length, position = variable(data, position, keep_marker=False)
        assert position + length <= end
        yield MASTERS.get(id_) or VALUES.get(id_) or hex(id_), at, data[position : position + length]
        if id_ in MASTERS:
            yield from elements(data, position, position + length)
        position += length
    assert position == end


def variable(data: bytes, position: int, *, keep_marker: bool) -> tuple[int, int]:
    """An id or a size, and the position after it."""
    width = 9 - data[position].bit_length()
    value = int.from_bytes(data[position : position + width])
    return value if keep_marker else value & (1 << 7 * width) - 1, position + width


@cache
def video(prompt: str = "a lighthouse at dusk") -> bytes:
    return files.webm(PictureSpec(seed=b"seed", prompt=prompt, title="Veo", model="google/veo3.1/fast"), SIZE)


def content(name: str) -> bytes:
    [found] = [content for element, _, content in elements(video()) if element == name]
    return found


def frames() -> list[tuple[int, int, bytes]]:
    """Milliseconds, flags and data of every block."""
    blocks = [content for name, _, content in elements(video()) if name == "SimpleBlock"]
    assert all(block[0] == 0x81 for block in blocks)
    return [(*struct.unpack_from(">hB", block, 1), block[4:]) for block in blocks]


def test_the_file_is_declared_as_webm_with_vp8() -> None:
    assert (content("DocType"), content("CodecID"), content("TrackType")) == (b"webm", b"V_VP8", b"\x01")
    assert [name for name, _, _ in elements(video()) if name in {"Info", "Tracks", "Cues", "Cluster"}] == [
        "Info",
        "Tracks",
        "Cues",
        "Cluster",
    ]


def test_the_frames_are_evenly_spaced_over_two_and_a_half_seconds() -> None:
    assert struct.unpack(">d", content("Duration")) == (2500.0,)
    assert int.from_bytes(content("TimestampScale")) == 1_000_000
    times = [time for time, _, _ in frames()]
    assert times == [number * 1000 // FRAME_RATE for number in range(FRAMES)]
    assert len(times) == 30


def test_every_frame_is_a_key_frame_of_the_declared_size() -> None:
    assert (int.from_bytes(content("PixelWidth")), int.from_bytes(content("PixelHeight"))) == SIZE
    for _, flags, frame in frames():
        assert flags == 0x80
        assert frame[0] & 1 == 0
        assert frame[3:6] == b"\x9d\x01\x2a"
        assert struct.unpack_from("<HH", frame, 6) == SIZE


def test_every_frame_can_be_decoded_and_no_two_are_equal() -> None:
    pictures = []
    for _, _, frame in frames():
        chunk = b"VP8 " + struct.pack("<I", len(frame)) + frame + b"\0" * (len(frame) % 2)
        riff = b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk
        pictures.append(Image.open(io.BytesIO(riff)).convert("RGB"))
    assert {picture.size for picture in pictures} == {SIZE}
    assert len({picture.tobytes() for picture in pictures}) == FRAMES


def test_the_cue_points_to_the_cluster() -> None:
    found = {name: at for name, at, _ in elements(video())}
    segment_data = found["Info"]
    assert segment_data + int.from_bytes(content("CueClusterPosition")) == found["Cluster"]


def test_equal_specs_give_equal_videos_and_different_specs_different_ones() -> None:
    first = video()
    files.webm.cache_clear()
    video.cache_clear()
    assert video() == first
    assert video("a boat at night") != first


@pytest.mark.parametrize("length", [0, 1, 126, 127, 128, 16_382, 16_383, 16_384, 2_097_151])
def test_element_sizes_of_every_width_are_encoded(length: int) -> None:
    file = make_webm([b"x" * length], size=(2, 2), rate=1)
    [block] = [content for name, _, content in elements(file) if name == "SimpleBlock"]
    assert block[4:] == b"x" * length


def test_a_video_may_have_the_maximum_length_of_a_cluster() -> None:
    file = make_webm([b"x"] * MAX_SECONDS, size=(2, 2), rate=1)
    assert [name for name, _, _ in elements(file)].count("SimpleBlock") == MAX_SECONDS


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 50}])
def test_a_key_frame_is_found_only_in_lossy_webp_files(options: dict[str, object]) -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (16, 16), (1, 2, 3, 128)).save(buffer, "WEBP", **options)
    if "lossless" in options:
        with pytest.raises(ValueError, match="lossy"):
            vp8_frame(buffer.getvalue())
    else:  # after the chunk with the transparency
        assert vp8_frame(buffer.getvalue())[3:6] == b"\x9d\x01\x2a"
