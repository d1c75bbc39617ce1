"""The names of tool arguments: which unknown ones are ignored, and which known one a misspelt one means.

Pure. A misspelt ``client_ref`` must never be ignored: without it a repeated call starts and bills another run.
"""

import difflib
import re
from collections.abc import Collection

#: What hosts add to the arguments of every tool: n8n (the first four), OpenHands, Cursor.
ADDED_BY_HOSTS = frozenset({"toolCallId", "sessionId", "action", "chatInput", "security_risk", "random_string"})
#: Other words for an argument, that no similarity finds.
_SYNONYMS = {"reference": "client_ref", "idempotencykey": "client_ref", "parameters": "input", "arguments": "input"}
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SIMILAR = 0.6
_SHORTEST_STEM = 3


def nearest(name: str, known: Collection[str]) -> str | None:
    """The argument that a short unknown name most likely means, if any."""
    folded = {_fold(candidate): candidate for candidate in known}
    if found := folded.get(_fold(name)):
        return found
    if (synonym := _SYNONYMS.get(_fold(name))) in known:
        return synonym
    if similar := difflib.get_close_matches(_fold(name), folded, n=1, cutoff=_SIMILAR):
        return folded[similar[0]]
    return next((candidate for candidate in known if _share_a_word(name, candidate)), None)


def _fold(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _share_a_word(name: str, candidate: str) -> bool:
    """Whether a word of one begins a word of the other (``ref`` and ``run_reference``)."""
    pairs = ((one.lower(), other) for one in _WORDS.findall(name) for other in candidate.split("_"))
    return any(
        min(len(one), len(other)) >= _SHORTEST_STEM and (one.startswith(other) or other.startswith(one))
        for one, other in pairs
    )
