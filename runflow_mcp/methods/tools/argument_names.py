"""Unknown argument names: which are ignored, and which argument a misspelt name means.

Pure. A misspelt ``client_ref`` must never be ignored: without it a repeated call starts and bills another run.
"""

import difflib
import re
from collections.abc import Collection

#: What hosts add to the arguments of every tool: n8n (the first four), OpenHands, Cursor.
ADDED_BY_HOSTS = frozenset({"toolCallId", "sessionId", "action", "chatInput", "security_risk", "random_string"})
#: Other words for an argument that are not spelt like it.
_SYNONYMS = {"reference": "client_ref", "idempotencykey": "client_ref", "parameters": "input", "arguments": "input"}
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SIMILAR = 0.6
_SHORTEST_STEM = 3


def closest_argument(name: str, arguments: Collection[str]) -> str | None:
    """The argument that an unknown name most likely means, if any."""
    folded = {_fold(candidate): candidate for candidate in arguments}
    if found := folded.get(_fold(name)):
        return found
    if (synonym := _SYNONYMS.get(_fold(name))) in arguments:
        return synonym
    if similar := difflib.get_close_matches(_fold(name), folded, n=1, cutoff=_SIMILAR):
        return folded[similar[0]]
    return next((candidate for candidate in arguments if _share_a_word(name, candidate)), None)


def _fold(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _share_a_word(name: str, candidate: str) -> bool:
    """Whether a word of one name begins a word of the other (``ref`` and ``run_reference``)."""
    pairs = ((word.lower(), part) for word in _WORDS.findall(name) for part in candidate.split("_"))
    return any(
        min(len(word), len(part)) >= _SHORTEST_STEM and (word.startswith(part) or part.startswith(word))
        for word, part in pairs
    )
