"""Which entries of the catalog match the filters of ``list_models``, and in which order they are listed.

Pure. The texts that a query is compared with are prepared once per snapshot.
"""

import re

import attrs

from runflow_mcp.runflow.catalog.entries import SOLUTION, Model, Snapshot, model_of_endpoint

#: What separates words. A full stop may be part of a name (``flux.1``).
_SEPARATORS = re.compile(r"(?:[^\w.]|_)+")


@attrs.frozen
class _Texts:
    """The names of an entry that a query is compared with, unchanged and with spaces between their words."""

    exact: tuple[str, ...]
    words: tuple[str, ...]

    @classmethod
    def of(cls, model: Model) -> "_Texts":
        slugs = f"{model.provider_slug}/{model.model_slug}"
        names = dict.fromkeys(map(str.casefold, (model.model_name, model.model_slug, slugs, model.name)))
        return cls(tuple(names), tuple(map(_words, names)))


def select(
    snapshot: Snapshot, *, category: str | None = None, provider: str | None = None, query: str | None = None
) -> list[int]:
    """The matching positions in ``snapshot.models``: exact hits of the query first, then prefixes, then the rest."""
    hits: list[tuple[int, int]] = []
    needle = (query or "").strip()
    needle = (model_of_endpoint(needle) or needle).casefold()
    texts = snapshot.cached(_texts) if needle else ()
    words = _words(needle)
    provider = (provider or "").strip().casefold()
    for position, model in enumerate(snapshot.models):
        if category == SOLUTION:
            if not model.is_solution:
                continue
        elif category is not None and model.category != category:
            continue
        if provider and model.provider_slug.casefold() != provider:
            continue
        rank = _rank(texts[position], needle, words) if needle else 0
        if rank is not None:
            hits.append((rank, position))
    return [position for _, position in sorted(hits)]


def _texts(snapshot: Snapshot) -> tuple[_Texts, ...]:
    return tuple(map(_Texts.of, snapshot.models))


def _words(text: str) -> str:
    return _SEPARATORS.sub(" ", text).strip()


def _rank(texts: _Texts, needle: str, words: str) -> int | None:
    """0 for an exact hit, 1 for a prefix, 2 for any other match, None for no match."""
    pairs = [(needle, texts.exact), (words, texts.words)] if words else [(needle, texts.exact)]
    if any(text in names for text, names in pairs):
        return 0
    if any(name.startswith(text) for text, names in pairs for name in names):
        return 1
    if any(needle in name for name in texts.exact):
        return 2
    together = " ".join(texts.words)
    return 2 if words and all(word in together for word in words.split()) else None
