"""A run object with more arrays, objects or strings than may become Python objects, cut as text before it is parsed.

Pure. An answer of 8 MB of empty objects would take 300 MB and stop the event loop for a third of a second. Here its
members are found without being read, and the large ones are replaced by the addresses in them. Meant for a thread:
it takes up to a second, in steps of milliseconds.
"""

import re

import orjson

#: Arrays and objects in one answer; a real one has some hundreds, and so many take 20 ms to parse.
MAX_CONTAINERS = 100_000
#: Strings in one answer, names of members included; so many take 20 ms to parse and 10 ms to search for links.
MAX_STRINGS = 100_000
#: Bytes of a member that is kept as it is, and addresses kept of one that is not.
MAX_MEMBER, MAX_ADDRESSES = 64 * 1024, 1000
LEFT_OUT = "left out: more values than an answer can carry"

_STRING = rb'"(?:[^"\\]|\\.)*+"'
_PLAIN = rb'[^{}\[\]"]'
#: Strings, plain characters and containers that hold nothing but those; in steps, so that other threads have turns.
_FLAT = re.compile(
    rb"(?:%(s)s|%(p)s|\{(?:%(s)s|%(p)s)*+\}|\[(?:%(s)s|%(p)s)*+\]){1,20000}+" % {b"s": _STRING, b"p": _PLAIN}, re.DOTALL
)
_NAME = re.compile(rb"[\s,]*+(%s)\s*+:\s*+" % _STRING, re.DOTALL)
_SCALAR = re.compile(rb"%s|[^\s,{}\[\]]++" % _STRING, re.DOTALL)
_ADDRESS = re.compile(rb'"https?://[^"\\\s]{1,8000}"')
_OPEN, _CLOSED = b"{[", b"}]"


def is_heavy(text: bytes) -> bool:
    """Whether a JSON text may hold more than ``MAX_CONTAINERS`` or ``MAX_STRINGS``; those in strings count too."""
    return text.count(b"{") + text.count(b"[") > MAX_CONTAINERS or text.count(b'"') > 2 * MAX_STRINGS


def reduced(text: bytes) -> bytes:
    """The object with its large members replaced. Raises ``ValueError`` for anything but an object."""
    at = len(text) - len(text.lstrip())
    if text[at : at + 1] != b"{":
        raise ValueError("not an object")
    at += 1
    members: list[bytes] = []
    while name := _NAME.match(text, at):
        start = name.end()
        at = _end(text, start)
        value = text[start:at] if at - start <= MAX_MEMBER else _replacement(text, start, at)
        members.append(name[1] + b":" + value)
    if text[at:].strip() != b"}":
        raise ValueError("cut short")
    return b"{" + b",".join(members) + b"}"


def _end(text: bytes, at: int) -> int:
    """The end of the value that begins at ``at``."""
    if text[at : at + 1] not in (b"{", b"["):
        scalar = _SCALAR.match(text, at)
        if scalar is None:
            raise ValueError("not JSON")
        return scalar.end()
    depth = 0
    while at < len(text):
        if text[at] in _OPEN:
            depth += 1
            at += 1
        elif text[at] in _CLOSED:
            depth -= 1
            at += 1
            if depth == 0:
                return at
        if flat := _FLAT.match(text, at):
            at = flat.end()
    raise ValueError("cut short")


def _replacement(text: bytes, start: int, end: int) -> bytes:
    found: list[str] = []
    for address in _ADDRESS.finditer(text, start, end):
        found.append(orjson.loads(address[0]))
        if len(found) == MAX_ADDRESSES:
            break
    return orjson.dumps({"urls": found, "note": f"[{end - start} bytes {LEFT_OUT}]"})
