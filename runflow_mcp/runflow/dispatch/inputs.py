"""The input of a run as bytes, and whether a run was made from another one.

Pure. Upstream may normalise what it keeps, so an input is called another one only where it plainly is.
"""

import hashlib
import html
import re
import unicodedata
from collections.abc import Callable

import attrs
import orjson

from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.runflow.reading.fields import truth
from runflow_mcp.runflow.runs.outputs import addresses
from runflow_mcp.runflow.runs.run import Run

#: A digest that upstream cut shorter than this says nothing.
_MIN_DIGEST = 16
#: A text that upstream cut shorter than this is another text.
_MIN_TEXT = 20
#: Numbers that differ by less than this share of their size were rounded.
_ROUNDING = 1e-6
#: References to media: upstream may copy the file, sign the address anew or replace it by one of its own.
_MEDIA = re.compile(r"(?:https?://|runflow://|data:)", re.IGNORECASE)
#: Curly quotes and long dashes, which editors and databases put in place of plain ones, and the other way round.
_PUNCTUATION = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201a\u201b", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f", '"')
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-")
    | dict.fromkeys("\u200b\u200c\u200d\u2060\ufe0f\ufeff")
)
_HTTP = re.compile(r"https?://([^/?#]*)([^?#]*)", re.IGNORECASE)


@attrs.frozen
class RunInput:
    """What a call needs of a model's input, without the parsed objects: these take up to 20 times their JSON.

    ``json``: compact JSON, members in the caller's order. ``urls``: addresses in the input, which are no outputs
    where a run repeats them.
    """

    json: bytes = attrs.field(repr=False)
    digest: str
    urls: tuple[str, ...] = attrs.field(repr=False)

    @classmethod
    def of(cls, value: JSONObject) -> "RunInput":
        return cls(orjson.dumps(value), input_digest(value), addresses(value))


def input_digest(run_input: JSONObject) -> str:
    """Hex SHA-256 of an input, equal for equal JSON whatever the order of its members."""
    return hashlib.sha256(orjson.dumps(run_input, option=orjson.OPT_SORT_KEYS)).hexdigest()


def is_other_input(digest: str, asked: Callable[[], JSONObject], run: Run, made_from: str | None) -> bool:
    """Whether ``run`` was made from another input than the one that has this digest.

    ``asked``: parses that input, where it must be compared. ``made_from``: the digest of the input that this process
    made the run from, where it did. A digest decides, except that an input which upstream shows and which says the
    same in other words is the same. Without any digest, the input that upstream shows decides; what it does not show
    is not another input.
    """
    recorded = run.input_digest or made_from
    if recorded is not None and _is_digest(recorded, digest):
        return False
    shown = run.input
    if not isinstance(shown, dict):
        return recorded is not None
    ours = asked()
    if recorded is not None and not shown.keys() <= ours.keys():
        return True
    return _differs(ours, shown)


def _is_digest(recorded: str, digest: str) -> bool:
    kept = recorded.strip().lower()
    return len(kept) >= _MIN_DIGEST and digest.startswith(kept)


def _differs(asked: JSON, shown: JSON) -> bool:
    """Whether two values plainly say different things; null and absent members say nothing."""
    if isinstance(asked, dict) and isinstance(shown, dict):
        return any(name in shown and _differs(value, shown[name]) for name, value in asked.items())
    if isinstance(asked, list) and isinstance(shown, list):
        return len(asked) != len(shown) or any(map(_differs, asked, shown))
    if asked in (None, "") or shown in (None, "") or isinstance(asked, dict | list) or isinstance(shown, dict | list):
        return False
    if isinstance(asked, bool) or isinstance(shown, bool):
        truths = truth(asked), truth(shown)
        if None not in truths:
            return truths[0] != truths[1]
    numbers = _number(asked), _number(shown)
    if numbers[0] is not None and numbers[1] is not None:
        return abs(numbers[0] - numbers[1]) > _ROUNDING * abs(numbers[0])
    return _texts_differ(str(asked), str(shown))


def _texts_differ(asked: str, shown: str) -> bool:
    if _MEDIA.match(asked.strip()) and _MEDIA.match(shown.strip()):
        ours, theirs = _HTTP.match(asked.strip()), _HTTP.match(shown.strip())
        # Another host may hold upstream's own copy of the file; another query is another signature.
        return bool(ours and theirs and ours[1].lower() == theirs[1].lower() and ours[2] != theirs[2])
    folded = _folded(asked), _folded(shown)
    return folded[0] != folded[1] and not (len(folded[1]) >= _MIN_TEXT and folded[0].startswith(folded[1]))


def _folded(text: str) -> str:
    """The text without what upstreams normalise: case, white space, escapes, Unicode's several spellings."""
    text = html.unescape(text).translate(_PUNCTUATION)
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).removesuffix("...")


def _number(value: JSON) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None
