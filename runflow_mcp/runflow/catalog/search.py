"""Which entries of the catalog match the filters of ``list_models``, and in which order they are listed.

Pure. Positions by filter, and the texts that a query is compared with, are prepared once per snapshot.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

import attrs

from runflow_mcp.runflow.catalog.entries import SOLUTION, Model, Snapshot, model_of_endpoint

#: What separates words. A full stop may be part of a name (``flux.1``).
_SEPARATORS = re.compile(r"(?:[^\w.]|_)+")


@attrs.frozen
class _Texts:
    """The names of an entry that a query is compared with, unchanged and with spaces between their words."""

    exact: tuple[str, ...]
    words: tuple[str, ...]
    #: All of them in one text each.
    all_exact: str
    all_words: str

    @classmethod
    def of(cls, model: Model) -> "_Texts":
        slugs = f"{model.provider_slug}/{model.model_slug}"
        names = dict.fromkeys(map(str.casefold, (model.model_name, model.model_slug, slugs, model.name)))
        words = tuple(map(_words, names))
        return cls(tuple(names), words, "\n".join(names), " ".join(words))

    def may_match(self, needle: str, words: list[str]) -> bool:
        """Whether ``_rank`` can find a match: two searches, which pass over an entry in 0.2 µs."""
        return needle in self.all_exact or (bool(words) and all(word in self.all_words for word in words))


#: (category, provider in lower case) → positions, in order; None stands for any.
_Positions = Mapping[tuple[str | None, str | None], Sequence[int]]


def select(
    snapshot: Snapshot, *, category: str | None = None, provider: str | None = None, query: str | None = None
) -> Sequence[int]:
    """The matching positions in ``snapshot.models``: exact hits of the query first, then prefixes, then the rest."""
    provider = provider.strip().casefold() if provider else None
    positions = snapshot.cached(_positions).get((category, provider or None), ())
    needle = query.strip() if query else ""
    if not needle:
        return positions
    needle = (model_of_endpoint(needle) or needle).casefold()
    words = _words(needle)
    texts = snapshot.cached(_texts)
    hits: tuple[list[int], ...] = ([], [], [])
    single_words = list(dict.fromkeys(words.split()))
    for position in positions:
        entry = texts[position]
        if entry.may_match(needle, single_words) and (rank := _rank(entry, needle, words, single_words)) is not None:
            hits[rank].append(position)
    exact, prefixes, others = hits
    return [*exact, *prefixes, *others]


def _positions(snapshot: Snapshot) -> _Positions:
    positions: defaultdict[tuple[str | None, str | None], list[int]] = defaultdict(list)
    for position, model in enumerate(snapshot.models):
        categories = {None, model.category} - {SOLUTION}
        if model.is_solution:
            categories.add(SOLUTION)
        for category in categories:
            for provider in (None, model.provider_slug.casefold()):
                positions[category, provider].append(position)
    return dict(positions)


def _texts(snapshot: Snapshot) -> tuple[_Texts, ...]:
    return tuple(map(_Texts.of, snapshot.models))


def _words(text: str) -> str:
    return _SEPARATORS.sub(" ", text).strip()


def _rank(texts: _Texts, needle: str, words: str, single_words: list[str]) -> int | None:
    """0 for an exact hit, 1 for a prefix, 2 for any other match, None for no match."""
    pairs = [(needle, texts.exact), (words, texts.words)] if words else [(needle, texts.exact)]
    if any(text in names for text, names in pairs):
        return 0
    if any(name.startswith(text) for text, names in pairs for name in names):
        return 1
    if any(needle in name for name in texts.exact):
        return 2
    return 2 if words and all(word in texts.all_words for word in single_words) else None
