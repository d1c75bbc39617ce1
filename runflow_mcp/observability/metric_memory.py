"""The metric values of one process, in memory that another process can read, also after a crash.

Counting adds to a float in it. What the numbers mean is in ``definitions``.
"""

import json
import mmap
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Self

import attrs
import structlog

log = structlog.get_logger(__name__)

#: Bytes for the names of the series, and for their values. The system provides memory only where something was written.
NAMES_SIZE, VALUES_SIZE = 512 * 1024, 1024 * 1024
#: Bytes of the count at the beginning: how many bytes of names there are.
_COUNT_SIZE = 8
_DOUBLE = 8


@attrs.frozen
class Series:
    """One series: the metric's name, the values of its labels, and its numbers, of which the sum is the first."""

    metric: str
    labels: tuple[str, ...]
    values: tuple[float, ...]


class MetricMemory:
    """Series, each with a fixed number of floats. Written by one process, in one thread.

    A name is counted only once it is complete, and values begin at zero, so a reader never sees half of a series.
    """

    def __init__(self, descriptor: int) -> None:
        """``descriptor``: of the memory; -1 for memory of this process alone."""
        self.descriptor = descriptor
        self._map = mmap.mmap(descriptor, NAMES_SIZE + VALUES_SIZE)
        view = memoryview(self._map)
        self._count = view[:_COUNT_SIZE].cast("Q")
        self._names = view[_COUNT_SIZE:NAMES_SIZE]
        self._values = view[NAMES_SIZE:].cast("d")
        self._used = sum(size for _, _, size in self._read_names())
        self.full = False

    @classmethod
    def share(cls) -> Self:
        """Memory for another process, which opens it with ``MetricMemory(descriptor)``. Raises ``OSError``."""
        if sys.platform == "linux":
            descriptor = os.memfd_create("runflow-mcp metrics")
        else:
            with tempfile.TemporaryFile() as file:
                descriptor = os.dup(file.fileno())
        os.ftruncate(descriptor, NAMES_SIZE + VALUES_SIZE)
        return cls(descriptor)

    def add(self, metric: str, labels: tuple[str, ...], size: int) -> "memoryview[float]":
        """A new series with ``size`` floats, all 0. When the memory is full, they are floats that no reader sees."""
        name = json.dumps([metric, labels, size]).encode() + b"\n"
        start = self._count[0]
        if start + len(name) > len(self._names) or self._used + size > len(self._values):
            if not self.full:
                self.full = True
                log.warning("metric_memory_full", metric=metric, labels=labels)
            return memoryview(bytearray(size * _DOUBLE)).cast("d")
        self._names[start : start + len(name)] = name
        self._count[0] = start + len(name)
        values = self._values[self._used : self._used + size]
        self._used += size
        return values

    def read(self) -> list[Series]:
        """Every series as it is now."""
        series, start = [], 0
        for metric, labels, size in self._read_names():
            series.append(Series(metric, labels, tuple(self._values[start : start + size])))
            start += size
        return series

    def _read_names(self) -> Iterator[tuple[str, tuple[str, ...], int]]:
        for name in bytes(self._names[: self._count[0]]).splitlines():
            metric, labels, size = json.loads(name)
            yield metric, tuple(labels), size

    def close(self) -> None:
        """Close the descriptor; the memory itself is freed with this object."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
