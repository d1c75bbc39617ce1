"""Values that remember what was built from them, so that nothing is built twice and nothing outlives them."""

from collections.abc import Callable
from typing import Any, Self, TypeVar

import attrs

T = TypeVar("T")


@attrs.define(eq=False)
class Memo:
    """An unchanging value from which others derive things: bytes, lists, indexes."""

    _derived: dict[Callable[[Any], Any], Any] = attrs.field(factory=dict, repr=False, kw_only=True)

    def cached(self, build: Callable[[Self], T]) -> T:
        """What ``build`` makes of this value: made at the first call, the same object ever after."""
        try:
            made: T = self._derived[build]
        except KeyError:
            made = self._derived[build] = build(self)
        return made
