"""Large JSON bodies, read without a step that holds the interpreter for a tenth of a second.

Pure, and meant for a thread. A parser in C blocks all threads until it is done, so a body that would take it long is
cut as text first: a run of 8 MiB may hold millions of values, which take seconds and hundreds of MB, and JSON that
only a lenient parser reads takes ten times as long. The members of the object are found without being parsed; large
ones are replaced by the addresses in them.
"""

import codecs
import re
from collections.abc import Iterator
from itertools import accumulate

import orjson

from runflow_mcp import lenient_json
from runflow_mcp.json_types import JSON

#: Values in one answer; a real one has some hundreds. orjson takes up to a microsecond for each.
MAX_PARSED_VALUES = 50_000
#: Members kept at either end of an object that has more; a real run has about thirty.
MAX_MEMBERS = 500
#: Bytes of a member that is kept as it is; of all such members together; and of one that is kept in any case, since
#: it may be the id.
MAX_MEMBER, MAX_KEPT, SMALL_MEMBER = 64 * 1024, 512 * 1024, 1024
#: Addresses kept of a member that is replaced.
MAX_ADDRESSES = 1000
LEFT_OUT = "left out: more than an answer can carry"

#: Bytes that one step works on: some milliseconds.
_STEP = 64 * 1024
_BACKSLASHES = re.compile(rb"\\*+")
_ADDRESS = re.compile(rb'"https?:(?:\\?/){2}(?:[^"\\\s]|\\/){1,8000}+"')
#: By byte: how it changes the depth of nesting.
_DEPTH_CHANGE = tuple({ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}.get(byte, 0) for byte in range(256))
_ENDS = re.compile(rb"[,}\]]")


class TooHeavy(ValueError):
    """The body is more than may be parsed, and nothing of it may be left out."""


def count_values(text: bytes) -> int:
    """Roughly how many values a JSON text has; brackets and commas in strings count too."""
    return text.count(b",") + text.count(b"{") + text.count(b"[")


def loads(text: bytes, *, whole: bool = False) -> tuple[JSON, bytes]:
    """The value, and the text that it was parsed from: the body, or what was left of it.

    ``whole``: nothing may be left out. Raises ``ValueError`` for what is not JSON, ``TooHeavy`` for what would have
    to be cut.
    """
    text = text.removeprefix(codecs.BOM_UTF8)
    light, skeleton = text, None
    if count_values(text) > MAX_PARSED_VALUES:
        skeleton = _skeleton(text)
        if count_values(skeleton) > MAX_PARSED_VALUES:
            if whole:
                raise TooHeavy
            light = _reduced(text, skeleton, keep_texts=True)
    try:
        return orjson.loads(light), light
    except orjson.JSONDecodeError:
        if whole and text.lstrip()[:1] in (b"{", b"["):
            raise TooHeavy from None
    light = _reduced(text, skeleton or _skeleton(text), keep_texts=False)
    return lenient_json.loads(light), light


def _skeleton(text: bytes) -> bytes:
    """The text with an x for each byte within a string, so that every bracket and comma is syntax."""
    pieces: list[bytes] = []
    quoted = False
    at = 0
    while at < len(text):
        end = at + _STEP
        if text[end - 1 : end] == b"\\" and (rest := _BACKSLASHES.match(text, end)):
            end = rest.end() + 1  # no escape is cut in two
        parts = text[at:end].replace(b"\\\\", b"xx").replace(b'\\"', b"xx").split(b'"')
        first = 0 if quoted else 1
        parts[first::2] = [b"x" * len(part) for part in parts[first::2]]
        pieces.append(b'"'.join(parts))
        quoted ^= len(parts) % 2 == 0
        at = end
    if quoted:
        raise ValueError("cut short")
    return b"".join(pieces)


def _reduced(text: bytes, skeleton: bytes, *, keep_texts: bool) -> bytes:
    """The object with its large members replaced. ``keep_texts``: but not those that are texts.

    Raises ``ValueError`` for anything else. What is replaced need not be JSON.
    """
    spans = list(_members(skeleton))
    if len(spans) > 2 * MAX_MEMBERS:
        spans = spans[:MAX_MEMBERS] + spans[-MAX_MEMBERS:]
    members: list[bytes] = []
    kept = 0
    for start, end in spans:
        value = skeleton.find(b":", start, end) + 1
        if keep_texts and skeleton[value:end].lstrip()[:1] == b'"':
            members.append(text[start:end])
        elif end - start <= (MAX_MEMBER if kept < MAX_KEPT else SMALL_MEMBER):
            members.append(text[start:end])
            kept += end - start
        elif value - start <= SMALL_MEMBER:
            members.append(text[start:value] + _replacement(text, value, end))
    return b"{" + b",".join(members) + b"}"


def _members(skeleton: bytes) -> Iterator[tuple[int, int]]:
    """Where each member of the object begins and ends."""
    at = start = len(skeleton) - len(skeleton.lstrip()) + 1
    if skeleton[at - 1 : at] != b"{":
        raise ValueError("not an object")
    depth = 1
    while at < len(skeleton):
        step = skeleton[at : at + _STEP]
        opened, closed = (sum(map(step.count, brackets)) for brackets in ((b"{", b"["), (b"}", b"]")))
        if depth - closed <= 1 and (opened or closed or b"," in step):
            depths = list(accumulate(map(_DEPTH_CHANGE.__getitem__, step), initial=depth))
            for mark in _ENDS.finditer(step) if min(depths) <= 1 else ():
                offset = mark.start()
                if depths[offset + 1] == 0:
                    yield start, at + offset
                    if mark[0] != b"}" or skeleton[at + offset + 1 :].strip():
                        raise ValueError("not JSON")
                    return
                if depths[offset] == 1 and mark[0] == b",":
                    yield start, at + offset
                    start = at + offset + 1
        depth += opened - closed
        at += len(step)
    raise ValueError("cut short")


def _replacement(text: bytes, start: int, end: int) -> bytes:
    found: list[str] = []
    for address in _ADDRESS.finditer(text, start, end):
        found.append(lenient_json.loads(address[0]))
        if len(found) == MAX_ADDRESSES:
            break
    return orjson.dumps({"urls": found, "note": f"[{end - start} bytes {LEFT_OUT}]"})
