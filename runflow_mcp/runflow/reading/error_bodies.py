"""What an error body says, wherever a REST API may put it: a code, a reason in words, a list of errors.

Pure. The documented envelope is flat (code, message, errors); gateways, frameworks and proxies in between have
their own shapes. Markup is never shown.
"""

import html
import re
from collections.abc import Iterator
from http import HTTPStatus
from itertools import islice

import attrs

from runflow_mcp.json_types import JSON, JSONObject

#: Characters of a reason that are shown.
MAX_REASON = 500
#: Items of a list of errors, and levels of nested objects, that a reason is composed of.
MAX_ITEMS, MAX_LEVELS = 5, 4
#: Members of an object that are read: a body of 8 MiB may have a million.
MAX_MEMBERS = 200
#: Characters of the name of an input.
MAX_INPUT_NAME = 100
#: Characters of a text that are read: cleaning much more than is shown would be wasted.
_MAX_READ = 8 * MAX_REASON
_SCREAMING = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*")
_CODE = re.compile(r"(?=.*[a-z_])[a-z0-9_]{1,64}")
#: The code of an empty account, and the spellings that it comes in.
INSUFFICIENT_CREDITS = "insufficient_credits"
_NO_CREDIT = frozenset({"insufficient_credit", INSUFFICIENT_CREDITS})
#: A text that is a code rather than a sentence, as OAuth puts into ``error``.
_CODE_LIKE = re.compile(r"[A-Z0-9]+(?:_[A-Z0-9]+)+|[a-z0-9]+(?:_[a-z0-9]+)+")
#: Members that hold a reason, in lower case without separators, the most informative first.
_REASONS = (
    "message",
    "faultstring",
    "detail",
    "errordescription",
    "errormessage",
    "errormsg",
    "failuremessage",
    "failurereason",
    "statusmessage",
    "usermessage",
    "msg",
    "errmsg",
    "defaultmessage",
    "reason",
    "description",
    "error",
    "failure",
    "errors",
    "details",
    "messages",
    "errormessages",
    "invalidparams",
    "violations",
    "issues",
    "validationerrors",
    "fielderrors",
    "errs",
    "err",
    "title",
    "statustext",
    "explanation",
    "info",
    "hint",
    "fault",
    "cause",
    "text",
    "data",
    "response",
    "body",
    "result",
)
#: ``HTTP 422 Unprocessable Entity``
_STATUS_LINE = re.compile(r"(?:http |error |request failed with status code )*\d{3}\b(?: (.*))?")
#: Reasons that say no more than the status: any other reason is preferred.
_EMPTY_REASONS = frozenset(
    {"error", "failed", "failure", "invalid", "request failed", "invalid request", "invalid input"}
    | {"validation error", "validation failed", "an error occurred", "client error", "the given data was invalid"}
    | {
        "one or more validation errors occurred",
        "request validation failed",
        "invalid payload",
    }
    # RFC 9110 renamed these; Python 3.13 has the new phrases, earlier versions the old ones.
    | {"request entity too large", "content too large", "request-uri too long", "uri too long"}
    | {"requested range not satisfiable", "range not satisfiable", "unprocessable entity", "unprocessable content"}
    | {status.phrase.lower() for status in HTTPStatus}
)
#: Members that hold the list of errors.
_LISTS = ("errors", "detail", "details", "invalidparams", "violations", "issues")
#: Members of one error of a list that say which input it is about.
_INPUT_NAMES = ("loc", "path", "field", "name", "param", "parameter", "pointer", "property")
#: Members of an error that are neither a reason nor the name of an input.
_NOT_FIELDS = frozenset({"type", "code", "status", "id", "url", "ctx", "input", "instance", "help", *_INPUT_NAMES})
_INVISIBLE = re.compile(
    r"(?:\x1b\[[0-9;]{0,20}[A-Za-z]|[\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff9-\ufffb])+"
)
_TAGS = (
    "a|b|i|u|p|s|br|hr|em|ul|ol|li|tr|td|th|h[1-6]|div|pre|code|span|font|img|html|head|body|meta|link|title|table|"
    "tbody|center|script|strong|style"
)
_TAG = re.compile(rf"</?(?:{_TAGS})(?:\s[^<>]{{0,500}})?/?>", re.IGNORECASE)
_IS_MARKUP = re.compile(rf"\s*(?:<[!?]|</?(?:{_TAGS})[\s/>])", re.IGNORECASE)
_XML_REASON = re.compile(
    r"<(?:\w+:)?(?:message|detail|description|faultstring|reason)(?:\s[^<>]{0,200})?>([^<>]{1,2000})<", re.IGNORECASE
)
_IS_HTML = re.compile(r"<!doctype html|<(?:html|head|body|h1|p|div|center)[\s/>]", re.IGNORECASE)
_STACK_TRACE = "Traceback (most recent call last)"


@attrs.frozen
class ErrorBody:
    """``code``: at most 64 of ``[a-z0-9_]``. ``reason``: one line. ``errors``: upstream's own items, unchanged."""

    code: str | None = None
    reason: str | None = None
    errors: list[JSON] = attrs.field(factory=list)


def read_error_body(payload: JSON) -> ErrorBody:
    """What a JSON error body says.

    The code is ``insufficient_credits`` when ``code`` or the type of any error says so; else the first text among
    ``errors[0].type`` in SCREAMING_SNAKE, ``code``, ``errors[0].type``. It counts when it fits once lowercased.
    """
    if isinstance(payload, list):
        payload = {"errors": payload}
    if not isinstance(payload, dict):
        return ErrorBody(reason=reason_of(payload))
    body = _wrapped(payload)
    errors = _errors(body) or _errors(payload)
    code = _code(payload, body)
    if code in _NO_CREDIT or any(_type(error).lower() in _NO_CREDIT for error in islice(errors, MAX_MEMBERS)):
        code = INSUFFICIENT_CREDITS
    return ErrorBody(code, reason_of(payload), errors)


def _wrapped(payload: JSONObject) -> JSONObject:
    """The object that holds code and errors: ``error``, or another member if the payload itself has neither."""
    more = () if payload.get("code") or payload.get("errors") else ("detail", "message", "fault")
    for name in ("error", *more):
        inner = payload.get(name)
        if isinstance(inner, dict):
            return inner
    return payload


def _errors(body: JSONObject) -> list[JSON]:
    folded = _folded(body)
    members = [folded[name] for name in _LISTS if folded.get(name)]
    listed = next((member for member in members if isinstance(member, list)), None)
    if listed is not None:
        return listed
    # By field, or a single error: kept as it is, as the only item of a list.
    errors = folded.get("errors")
    return [errors] if isinstance(errors, dict | str) and errors else []


def _code(payload: JSONObject, body: JSONObject) -> str | None:
    listed = body.get("errors")
    first = listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], dict) else {}
    detail = _errors(body)
    detailed = detail[0].get("type") if detail and isinstance(detail[0], dict) else None
    candidates = (
        detailed if isinstance(detailed, str) and _SCREAMING.fullmatch(detailed) else None,
        body.get("code"),
        first.get("type"),
        payload.get("code"),
        body.get("error_code"),
        body.get("errorCode"),
        first.get("code"),
        _code_like(payload.get("error")),
    )
    for text in candidates:
        if isinstance(text, str) and text and not text.isdigit():
            code = text.lower()
            return code if _CODE.fullmatch(code) else None
    return None


def _type(error: JSON) -> str:
    type_ = error.get("type") if isinstance(error, dict) else None
    return type_ if isinstance(type_, str) else ""


def _code_like(value: JSON) -> str | None:
    return value if isinstance(value, str) and _CODE_LIKE.fullmatch(value) else None


def reason_of(value: JSON, levels: int = MAX_LEVELS) -> str | None:
    """What a value says about the error, on one line; None when it says nothing."""
    if isinstance(value, str):
        return one_line(value)
    if levels == 0:
        return None
    if isinstance(value, list):
        return _joined(_item(item, levels - 1) for item in value[:MAX_ITEMS])
    if not isinstance(value, dict):
        return None
    folded = _folded(value)
    found = [reason for name in _REASONS if (reason := reason_of(folded.get(name), levels - 1))]
    informative = (reason for reason in found if not _is_empty(reason))
    return next(informative, found[0] if found else _by_field(value, levels))


def _is_empty(reason: str) -> bool:
    """Whether a reason says no more than the status."""
    words = reason.lower().rstrip(".!")
    status = _STATUS_LINE.fullmatch(words)
    return words in _EMPTY_REASONS or bool(status and (status[1] or "error") in _EMPTY_REASONS)


def _by_field(value: JSONObject, levels: int) -> str | None:
    """The reasons in ``{"prompt": ["too long"]}``, each with the name of its input."""
    # At the top level only lists count: a text there may be anything.
    kinds = list if levels == MAX_LEVELS else list | str
    members = islice(value.items(), MAX_MEMBERS)
    fields = [(name, texts) for name, texts in members if isinstance(texts, kinds) and name.lower() not in _NOT_FIELDS]
    return _joined(
        f"{input_name}: {reason}"
        for name, texts in fields[:MAX_ITEMS]
        if (input_name := one_line(name, MAX_INPUT_NAME)) and (reason := reason_of(texts, levels - 1))
    )


def _item(item: JSON, levels: int) -> str | None:
    """The reason of one of several errors, with the input that it names."""
    reason = reason_of(item, levels)
    input_name = _input_name(_folded(item)) if isinstance(item, dict) else None
    return f"{input_name}: {reason}" if reason and input_name and input_name != reason else reason


def _input_name(item: JSONObject) -> str | None:
    for name in _INPUT_NAMES:
        input_name = item.get(name)
        if isinstance(input_name, list):
            input_name = ".".join(str(part) for part in input_name[:MAX_ITEMS] if isinstance(part, str | int))
        if isinstance(input_name, str) and (line := one_line(input_name)):
            return line[:MAX_INPUT_NAME]
    return None


def _joined(parts: Iterator[str | None]) -> str | None:
    return "; ".join(filter(None, parts))[:MAX_REASON] or None


def _folded(value: JSONObject) -> dict[str, JSON]:
    """The members by their names in lower case without separators: APIs also write ``invalid-params``, ``Detail``."""
    folded: dict[str, JSON] = {}
    for name, inner in islice(value.items(), MAX_MEMBERS):
        folded.setdefault(name.lower().replace("_", "").replace("-", ""), inner)
    return folded


def one_line(text: str, limit: int = MAX_REASON) -> str | None:
    """A text fit to be shown: one line without tags and control characters, cut; None when nothing is left."""
    text = text[:_MAX_READ]
    if _IS_MARKUP.match(text) or _STACK_TRACE in text:
        return None
    text = _INVISIBLE.sub(" ", _TAG.sub(" ", text))
    return " ".join(text.split())[:limit].rstrip() or None


def plain_reason(text: str) -> str | None:
    """The reason in a body that is not JSON: plain text, or the element of an XML body that holds it; HTML has none."""
    text = text[:_MAX_READ].lstrip("\ufeff \t\r\n")
    if text.startswith("<"):
        found = None if _IS_HTML.search(text) else _XML_REASON.search(text)
        return one_line(html.unescape(found[1])) if found else None
    return None if text[:1] in ("{", "[", '"') or "\0" in text else one_line(text)
