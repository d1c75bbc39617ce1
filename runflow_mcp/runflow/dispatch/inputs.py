"""The input of a run as bytes, and whether an existing run was made from another input.

Pure. Upstream may normalise what it keeps, so two inputs count as different only where they plainly are.
"""

import hashlib
import html
import re
import unicodedata
from collections.abc import Callable

import attrs
import orjson

from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.runflow.assets.paths import read_path
from runflow_mcp.runflow.reading.fields import parse_boolean
from runflow_mcp.runflow.runs.outputs import input_addresses
from runflow_mcp.runflow.runs.run import Run

#: A digest that upstream cut shorter than this proves nothing.
_MIN_DIGEST = 16
#: A text that upstream cut shorter than this counts as another text.
_MIN_TEXT = 20
#: Numbers that differ by less than this share of their size count as equal: upstream may have rounded.
_ROUNDING = 1e-6
#: References to media: upstream may copy the file, sign its URL anew or replace it by a URL of its own.
_MEDIA = re.compile(r"(?:https?://|runflow://|data:)", re.IGNORECASE)
#: Curly quotes and long dashes, which editors and databases exchange for plain ones, and invisible characters.
_PUNCTUATION = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201a\u201b", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f", '"')
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-")
    | dict.fromkeys("\u200b\u200c\u200d\u2060\ufe0f\ufeff")
)
_HTTP = re.compile(r"https?://([^/?#]*)([^?#]*)", re.IGNORECASE)


@attrs.frozen
class RunInput:
    """The input for a model, without its parsed objects, which take up to 20 times their JSON.

    ``json``: compact JSON, members in the caller's order. ``urls``: URLs in the input, which are not outputs where a
    run repeats them.
    """

    json: bytes = attrs.field(repr=False)
    digest: str
    urls: tuple[str, ...] = attrs.field(repr=False)

    @classmethod
    def of(cls, value: JSONObject) -> "RunInput":
        return cls(orjson.dumps(value), input_digest(value), input_addresses(value))


def input_digest(run_input: JSONObject) -> str:
    """Hex SHA-256 of an input, equal for equal JSON whatever the order of its members."""
    return hashlib.sha256(orjson.dumps(run_input, option=orjson.OPT_SORT_KEYS)).hexdigest()


def is_other_input(
    digest: str, parse: Callable[[], JSONObject], run: Run, sent_digest: str | None, *, names_files: bool = False
) -> bool:
    """Whether ``run`` was made from another input than the call's, which has this digest.

    ``parse``: returns the call's input, if it must be compared. ``sent_digest``: of the input that this process sent
    to start the run, if it did. ``names_files``: the call's input has paths in place of media. Equal digests
    mean the same input. Otherwise the input that upstream stored is compared, since upstream may have normalised it.
    If there is none, different digests mean another input, and no digest means the same.
    """
    recorded = run.input_digest or sent_digest
    if recorded is not None and _is_same_digest(recorded, digest):
        return False
    stored = run.input
    if not isinstance(stored, dict):
        return recorded is not None and not names_files
    sent = parse()
    if recorded is not None and not stored.keys() <= sent.keys():
        return True
    return _differs(sent, stored)


def _is_same_digest(recorded: str, digest: str) -> bool:
    recorded = recorded.strip().lower()
    return len(recorded) >= _MIN_DIGEST and digest.startswith(recorded)


def _differs(sent: JSON, stored: JSON) -> bool:
    """Whether two values plainly differ; null, empty and absent ones are not compared."""
    if isinstance(sent, dict) and isinstance(stored, dict):
        return any(name in stored and _differs(value, stored[name]) for name, value in sent.items())
    if isinstance(sent, list) and isinstance(stored, list):
        return len(sent) != len(stored) or any(map(_differs, sent, stored))
    if sent in (None, "") or stored in (None, "") or isinstance(sent, dict | list) or isinstance(stored, dict | list):
        return False
    if isinstance(sent, bool) or isinstance(stored, bool):
        booleans = parse_boolean(sent), parse_boolean(stored)
        if None not in booleans:
            return booleans[0] != booleans[1]
    numbers = _number(sent), _number(stored)
    if numbers[0] is not None and numbers[1] is not None:
        return abs(numbers[0] - numbers[1]) > _ROUNDING * abs(numbers[0])
    return _texts_differ(str(sent), str(stored))


def _texts_differ(sent: str, stored: str) -> bool:
    if _MEDIA.match(stored.strip()) and read_path(sent):
        return False  # the run may have been made from an upload of this file
    if _MEDIA.match(sent.strip()) and _MEDIA.match(stored.strip()):
        sent_url, stored_url = _HTTP.match(sent.strip()), _HTTP.match(stored.strip())
        # Another host may hold upstream's own copy of the file; another query is another signature.
        return bool(
            sent_url and stored_url and sent_url[1].lower() == stored_url[1].lower() and sent_url[2] != stored_url[2]
        )
    folded = _folded(sent), _folded(stored)
    return folded[0] != folded[1] and not (len(folded[1]) >= _MIN_TEXT and folded[0].startswith(folded[1]))


def _folded(text: str) -> str:
    """The text without what upstreams normalise: case, white space, escapes, Unicode forms."""
    text = html.unescape(text).translate(_PUNCTUATION)
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).removesuffix("...")


def _number(value: JSON) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None
