"""Memoisation on the value itself: what is derived from an immutable value is built once and freed with it. Pure."""

from collections.abc import Callable
from typing import Any, Self, TypeVar

import attrs

T = TypeVar("T")


@attrs.define(eq=False)
class Memo:
    """An immutable value that keeps what is derived from it, such as bytes, lists and indexes."""

    _derived: dict[Callable[[Any], Any], Any] = attrs.field(factory=dict, repr=False, kw_only=True)

    def cached(self, build: Callable[[Self], T]) -> T:
        """The result of ``build(self)``: computed by the first call, then the same object."""
        try:
            result: T = self._derived[build]
        except KeyError:
            result = self._derived[build] = build(self)
        return result
