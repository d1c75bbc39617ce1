"""Small real media files, drawn from a seed: the same seed gives the same bytes, another one looks different.

Pure; needs no imaging library.
"""

import io
import struct
import wave
import zlib
from functools import lru_cache
from math import pi, sin

SIDE = 128
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPE_PALETTE = 3
SAMPLE_RATE = 8000
TONE_SECONDS = 0.5
#: As many files as a burst of polls may ask for again; each is a few kilobytes.
CACHED_FILES = 256


@lru_cache(CACHED_FILES)
def png(seed: bytes) -> bytes:
    """A square of rings in a gradient of two colours; the seed has at least 8 bytes."""
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, COLOUR_TYPE_PALETTE, 0, 0, 0)
    chunks = (
        _chunk(b"IHDR", header),
        _chunk(b"PLTE", _gradient(seed[:3])),
        _chunk(b"IDAT", zlib.compress(_pattern(*seed[3:8]))),
        _chunk(b"IEND", b""),
    )
    return PNG_SIGNATURE + b"".join(chunks)


@lru_cache(CACHED_FILES)
def wav(seed: bytes) -> bytes:
    """Half a second of one tone, 8 bit mono."""
    pitch = 220 + seed[0] * 2
    samples = bytes(
        128 + int(80 * sin(2 * pi * pitch * tick / SAMPLE_RATE)) for tick in range(int(SAMPLE_RATE * TONE_SECONDS))
    )
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples)
    return buffer.getvalue()


def _gradient(colour: bytes) -> bytes:
    """256 steps from one colour to the one that differs from it by half the range in every channel."""
    return bytes(a + ((a ^ 128) - a) * step // 255 for step in range(256) for a in colour)


def _pattern(x_pull: int, y_pull: int, x_centre: int, y_centre: int, rings: int) -> bytes:
    """The scan lines, each behind a filter byte."""
    x_pull, y_pull = x_pull % 4, y_pull % 4
    x_centre, y_centre = x_centre % SIDE, y_centre % SIDE
    shift = 2 + rings % 4
    columns = [x * x_pull + ((x - x_centre) ** 2 >> shift) for x in range(SIDE)]
    lines = bytearray()
    for y in range(SIDE):
        row = y * y_pull + ((y - y_centre) ** 2 >> shift)
        lines.append(0)
        lines.extend((column + row) & 255 for column in columns)
    return bytes(lines)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
