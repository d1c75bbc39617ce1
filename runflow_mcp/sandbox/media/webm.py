"""Muxes VP8 frames into a WebM file with the few elements that a player needs.

Pure. Follows RFC 8794 (EBML: element ids §5, sizes §6, header §11.2), RFC 9559 (Matroska: Info §5.1.2, Cluster §5.1.3,
SimpleBlock §10.2, Tracks §5.1.4, Cues §5.1.5) and the WebM guidelines (DocType, V_VP8). A lossy WebP picture
contains one VP8 key frame (RFC 9649 §2.5, RFC 6386 §9.1), so no video encoder is needed.
"""

import struct
from collections.abc import Sequence

#: Nanoseconds per unit of a Matroska timestamp: milliseconds.
TIMESTAMP_SCALE = 1_000_000
VIDEO_TRACK = 1
KEYFRAME = 0x80
#: A block's timestamp is a signed 16-bit number of milliseconds relative to its cluster.
MAX_SECONDS = 32
APPLICATION = b"runflow-mcp sandbox"


def make_webm(frames: Sequence[bytes], *, size: tuple[int, int], rate: int) -> bytes:
    """A video of VP8 key frames, ``rate`` per second, of at most ``MAX_SECONDS``."""
    width, height = size
    header = _element(
        0x1A45DFA3,
        _number(0x4286, 1),  # EBMLVersion
        _number(0x42F7, 1),  # EBMLReadVersion
        _number(0x42F2, 4),  # EBMLMaxIDLength
        _number(0x42F3, 8),  # EBMLMaxSizeLength
        _element(0x4282, b"webm"),  # DocType
        _number(0x4287, 4),  # DocTypeVersion
        _number(0x4285, 2),  # DocTypeReadVersion
    )
    info = _element(
        0x1549A966,
        _number(0x2AD7B1, TIMESTAMP_SCALE),
        _element(0x4489, struct.pack(">d", len(frames) * 1000 / rate)),  # Duration
        _element(0x4D80, APPLICATION),  # MuxingApp
        _element(0x5741, APPLICATION),  # WritingApp
    )
    track = _element(
        0xAE,
        _number(0xD7, VIDEO_TRACK),  # TrackNumber
        _number(0x73C5, VIDEO_TRACK),  # TrackUID
        _number(0x83, 1),  # TrackType: video
        _number(0x9C, 0),  # FlagLacing
        _element(0x86, b"V_VP8"),  # CodecID
        _number(0x23E383, 1_000_000_000 // rate),  # DefaultDuration
        _element(0xE0, _number(0xB0, width), _number(0xBA, height)),  # Video
    )
    tracks = _element(0x1654AE6B, track)
    blocks = [_simple_block(frame, number * 1000 // rate) for number, frame in enumerate(frames)]
    cluster = _element(0x1F43B675, _number(0xE7, 0), *blocks)
    before = len(info) + len(tracks)
    # The cluster's position counts from the start of the segment data and includes the cues, which contain it.
    cues = _cues(before + len(_cues(0)))
    return header + _element(0x18538067, info, tracks, cues, cluster)


def vp8_frame(webp: bytes) -> bytes:
    """The key frame in a lossy WebP file; raises ValueError if there is none."""
    position = 12  # RIFF, the size, WEBP
    while position + 8 <= len(webp):
        kind, length = struct.unpack_from("<4sI", webp, position)
        if kind == b"VP8 ":
            return webp[position + 8 : position + 8 + length]
        position += 8 + length + length % 2
    raise ValueError("the WebP file has no lossy picture")


def _cues(cluster_position: int) -> bytes:
    """One seek point, the start. Its length does not depend on the position."""
    position = _element(0xF1, cluster_position.to_bytes(4))  # CueClusterPosition
    positions = _element(0xB7, _number(0xF7, VIDEO_TRACK), position)  # CueTrackPositions
    return _element(0x1C53BB6B, _element(0xBB, _number(0xB3, 0), positions))


def _simple_block(frame: bytes, milliseconds: int) -> bytes:
    return _element(0xA3, struct.pack(">BhB", 0x80 | VIDEO_TRACK, milliseconds, KEYFRAME) + frame)


def _element(id_: int, *content: bytes) -> bytes:
    data = b"".join(content)
    return id_.to_bytes((id_.bit_length() + 7) // 8) + _size(len(data)) + data


def _number(id_: int, value: int) -> bytes:
    return _element(id_, value.to_bytes(max(1, (value.bit_length() + 7) // 8)))


def _size(length: int) -> bytes:
    """A variable-length integer; the value of all ones is reserved for "unknown"."""
    width = next(width for width in range(1, 9) if length < (1 << 7 * width) - 1)
    return (length | 1 << 7 * width).to_bytes(width)
