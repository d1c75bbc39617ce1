"""The mistake in an Authorization header without an acceptable key: one sentence for each known mistake.

Pure. Every sentence is a constant: the header is never quoted, since all of it may be secret.
"""

import re
from collections.abc import Sequence
from enum import StrEnum

#: Characters of a key.
MIN_LENGTH, MAX_LENGTH = 8, 512


class KeyMistake(StrEnum):
    """One sentence for each mistake, for the person who configured the client."""

    SEVERAL_HEADERS = "The request has more than one Authorization header; send exactly one."
    OTHER_KEY = "This key is of a kind that this server does not accept."
    EMPTY_HEADER = "The Authorization header is empty; the variable that should hold the key is probably not set."
    EMPTY_KEY = (
        "The Authorization header has no key after its scheme; the variable that should hold it is probably empty."
    )
    VARIABLE = (
        "The Authorization header still contains the name of a variable instead of its value: this client does not "
        "replace variables there, or the variable is not set. Write the key itself, or use the client's own syntax."
    )
    QUOTED = "There are quotation marks in the Authorization header; send the key without them."
    BRACKETS = "There are angle brackets around the key; documentation uses them to mark a placeholder. Leave them out."
    SHORTENED = (
        "The key is shortened: it has an ellipsis or asterisks, as documentation and dashboards show keys. "
        "Copy the whole key."
    )
    TWICE = "The scheme Bearer is in the header twice; some clients add it themselves. Configure the key alone there."
    NAME_REPEATED = "The header's name is repeated in its value; the value begins with the scheme."
    BASIC = "The Authorization header uses the scheme Basic; this server has no user names and passwords."
    OTHER_SCHEME = "The Authorization header uses a scheme other than Bearer."
    NO_SCHEME = "The scheme Bearer is missing before the key."
    NO_SPACE = "There must be a space, and nothing else, between the scheme Bearer and the key."
    SERVICE_KEY = "This is a service key (rf_svc_); service keys cannot start runs."
    WRONG_CASE = "The key's prefix is in the wrong case; keys are case-sensitive. Copy the key as it is."
    PREFIX_ALONE = "The key is only a prefix; the rest of it is missing."
    COMMA = "There is a comma or semicolon in the Authorization header; send one key without any punctuation."
    INNER_SPACE = "There is white space inside the key; it was probably wrapped, or pasted together with other text."
    NOT_ASCII = "The key has characters outside ASCII; it was probably changed by a word processor. Copy it again."
    CONTROL = "The key has control characters; it was probably pasted with a line break. Copy it again."
    TOO_LONG = f"The key is too long: keys have at most {MAX_LENGTH} characters."
    TOO_SHORT = f"The key is too short: keys have at least {MIN_LENGTH} characters."
    PLACEHOLDER = "The header contains a placeholder from documentation instead of a key."


_SCHEME = re.compile(r"bearer(?![a-z0-9])(.*)", re.IGNORECASE | re.DOTALL)
#: Searched for in the part after the scheme, in this order; the first match decides.
_IN_THE_KEY = (
    (re.compile(r"\A\s*\Z"), KeyMistake.EMPTY_KEY),
    (re.compile(r"\A\s*bearer\b", re.IGNORECASE), KeyMistake.TWICE),
    (re.compile(r"\$\{|\$\(|\A\$\w|\{\{|\}\}|%\w+%|\A\$?env:|\A\{[\w:.]+\}|\Aprocess\.env|<%"), KeyMistake.VARIABLE),
    (re.compile(r"\A[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*_(?:KEY|TOKEN)\Z"), KeyMistake.VARIABLE),
    (re.compile("…|\\.\\.\\.|\\*\\*|•"), KeyMistake.SHORTENED),
    (re.compile(r"\A(?:null|none|nil|undefined|false)\Z", re.IGNORECASE), KeyMistake.VARIABLE),
    (re.compile(r"[<>]"), KeyMistake.BRACKETS),
    (re.compile("\\A[\"'`“”„‘’«»]|[\"'`“”„‘’«»]\\Z"), KeyMistake.QUOTED),
    (re.compile(r"[,;]\s*\Z|[,;]\s"), KeyMistake.COMMA),
    (re.compile(r"\A(?:your|my|insert|paste)[-_ ]|\Aapi[-_ ]?key", re.IGNORECASE), KeyMistake.PLACEHOLDER),
    (re.compile(r"[^\x00-\x7f]"), KeyMistake.NOT_ASCII),
    (re.compile(r"\S\s+\S"), KeyMistake.INNER_SPACE),
    (re.compile(r"[\x00-\x1f\x7f]"), KeyMistake.CONTROL),
    (re.compile(r"\Arf_svc_", re.IGNORECASE), KeyMistake.SERVICE_KEY),
)


def key_mistake(value: str, prefixes: Sequence[str]) -> KeyMistake:
    """The mistake in the only Authorization header of a request that was rejected for it."""
    header = value.strip(" \t")
    if not header:
        return KeyMistake.EMPTY_HEADER
    if re.match(r"authorization\s*[:=]", header, re.IGNORECASE):
        return KeyMistake.NAME_REPEATED
    unquoted = header.strip("\"'`")
    if unquoted != header and _SCHEME.match(unquoted):
        return KeyMistake.QUOTED
    scheme = _SCHEME.fullmatch(header)
    if scheme is None:
        return _without_bearer(header, prefixes)
    if scheme[1] and scheme[1][0] not in " \t":
        return KeyMistake.NO_SPACE
    return _in_the_key(scheme[1].strip(" \t"), prefixes)


def _without_bearer(header: str, prefixes: Sequence[str]) -> KeyMistake:
    lower = header.lower()
    if lower.startswith("bearer"):
        return KeyMistake.NO_SPACE
    if re.match(r"basic\b", lower):
        return KeyMistake.BASIC
    if any(lower.startswith(f"{prefix.lower()}_") for prefix in (*prefixes, "rf_svc")) or not re.search(r"\s", header):
        mistake = _in_the_key(header, prefixes)
        return KeyMistake.NO_SCHEME if mistake in (KeyMistake.OTHER_KEY, KeyMistake.TOO_SHORT) else mistake
    return KeyMistake.OTHER_SCHEME


def _in_the_key(key: str, prefixes: Sequence[str]) -> KeyMistake:
    for pattern, mistake in _IN_THE_KEY:
        if pattern.search(key):
            return mistake
    for prefix in prefixes:
        if key.lower() in (prefix.lower(), f"{prefix}_".lower()):
            return KeyMistake.PREFIX_ALONE
        if key.lower().startswith(f"{prefix}_".lower()) and not key.startswith(f"{prefix}_"):
            return KeyMistake.WRONG_CASE
    if len(key) > MAX_LENGTH:
        return KeyMistake.TOO_LONG
    return KeyMistake.TOO_SHORT if len(key) < MIN_LENGTH else KeyMistake.OTHER_KEY
