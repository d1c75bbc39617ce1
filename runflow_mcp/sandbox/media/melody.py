"""A short melody over a chord as a WAV file, derived from a seed.

Pure; needs no audio library.
"""

import io
import struct
import wave
from cmath import rect
from itertools import accumulate, repeat
from math import exp, log, pi
from operator import add, mul
from random import Random

SAMPLE_RATE = 22_050
SECONDS = 2.8
#: A major pentatonic scale in semitones: its notes sound pleasant in any order.
SCALE = (0, 2, 4, 7, 9, 12, 14, 16)
CHORD = (0, 7, 16)
ROOTS = (196.0, 220.0, 246.94, 261.63, 293.66)
NOTES = 8
NOTE_SECONDS = 0.26
#: Samples of a note's attack and seconds of the final fade-out, which prevent clicks.
ATTACK = 200
FADE_OUT = 0.35
#: Shares of full scale, low enough that simultaneous notes do not clip.
NOTE_VOLUME, CHORD_VOLUME = 0.24, 0.07
#: ``(multiple, share)`` of the fundamental and its overtones, as in a soft bell.
OVERTONES = ((1, 1.0), (2, 0.32), (3, 0.1))


def make_wav(seed: bytes) -> bytes:
    """16 bit mono; the same seed gives the same bytes."""
    random = Random(int.from_bytes(seed))
    root = ROOTS[int(random.random() * len(ROOTS))]
    samples = [0.0] * int(SAMPLE_RATE * SECONDS)
    for step in CHORD:
        _add(samples, root / 2 * _interval(step), start=0.0, volume=CHORD_VOLUME, decay=0.7)
    for number, degree in enumerate(_degrees(random)):
        _add(samples, root * _interval(SCALE[degree]), start=number * NOTE_SECONDS, volume=NOTE_VOLUME, decay=3.2)
    _fade_out(samples)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(struct.pack(f"<{len(samples)}h", *(round(32767 * sample) for sample in samples)))
    return buffer.getvalue()


def _degrees(random: Random) -> list[int]:
    """Indices into the scale: small steps from the middle, ending on the root or its octave."""
    steps = [(-2, -1, 1, 2, 3)[int(random.random() * 5)] for _ in range(NOTES - 1)]
    path = accumulate([3, *steps], lambda degree, step: min(max(degree + step, 0), len(SCALE) - 1))
    return [*list(path)[: NOTES - 1], 5 if random.random() < 0.5 else 0]  # noqa: PLR2004 - even chances


def _interval(semitones: int) -> float:
    """As a ratio of frequencies."""
    return exp(semitones * log(2) / 12)


def _add(samples: list[float], pitch: float, *, start: float, volume: float, decay: float) -> None:
    """Mix in a note that falls by a factor of e to the power of ``decay`` each second."""
    first = int(start * SAMPLE_RATE)
    count = len(samples) - first
    for number, share in OVERTONES:
        # Powers of a complex number: their imaginary parts are a decaying sine.
        step = rect(exp(-decay * number**0.5 / SAMPLE_RATE), 2 * pi * pitch * number / SAMPLE_RATE)
        wave_ = [power.imag for power in accumulate(repeat(step, count - 1), mul, initial=complex(volume * share))]
        for tick in range(min(count, ATTACK)):
            wave_[tick] *= tick / ATTACK
        samples[first:] = map(add, samples[first:], wave_)


def _fade_out(samples: list[float]) -> None:
    length = int(FADE_OUT * SAMPLE_RATE)
    for number in range(length):
        samples[-1 - number] *= number / length
