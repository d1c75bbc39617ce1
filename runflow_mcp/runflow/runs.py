"""A run as the proxy understands it, read tolerantly from whatever upstream sends, and when to ask again.

Pure: no HTTP, no clock. Field names and their odd spellings come from Runflow's documentation and from
public client code; every field may be absent or null.
"""

import hashlib
import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit

import attrs
import orjson

from runflow_mcp.jsontypes import JSON, JSONObject
from runflow_mcp.names import run_id_fault
from runflow_mcp.runflow.run_failures import failure_code, failure_reason

SUCCEEDED, FAILED, CANCELLED = "succeeded", "failed", "cancelled"
#: Older and newer spellings of the terminal states. A state not known here is still going.
_SPELLINGS = {"canceled": CANCELLED, "errored": FAILED}
TERMINAL = frozenset({SUCCEEDED, FAILED, CANCELLED})

#: (until this many seconds of waiting, seconds between polls)
POLL_SCHEDULE = ((30.0, 2.0), (120.0, 5.0))
POLL_DELAY_LAST = 10.0

#: Inline media longer than this is replaced by a note: it would fill the model's context.
MAX_INLINE_MEDIA = 2048
MAX_OUTPUT_URLS = 1000
#: Signed URLs run to some kilobytes.
MAX_URL_LENGTH = 8192
#: A state is a word; what is longer is not repeated in every line about the run.
MAX_STATUS_LENGTH = 64
#: A count of steps beyond this is none.
_MAX_STEPS = 1_000_000
_URL = re.compile(r"https?://[^\s\"<>]+", re.IGNORECASE)
_HOST = re.compile(r"[^\W_](?:[\w.-]{0,251}[^\W_])?\.?")
#: By the URL standard such a host is an IPv4 address or none.
_ENDS_IN_NUMBER = re.compile(r"(?:^|\.)\d+\.?$")
#: Members of an output that repeat what went in or how it was made.
_NOT_OUTPUT = frozenset({"input", "inputs", "request", "metadata", "logs", "timing"})

_MEDIA_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "avif": "image/avif",
    "svg": "image/svg+xml",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "mp4": "video/mp4",
    "webm": "video/webm",
    "mov": "video/quicktime",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "m4a": "audio/mp4",
    "json": "application/json",
    "zip": "application/zip",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "glb": "model/gltf-binary",
}


def poll_delay(waited: float) -> float:
    """Seconds until the next poll, after so many seconds of waiting."""
    for until, delay in POLL_SCHEDULE:
        if waited < until:
            return delay
    return POLL_DELAY_LAST


def input_digest(run_input: JSONObject) -> str:
    """Hex SHA-256 of an input, equal for equal JSON whatever the order of its members."""
    return hashlib.sha256(orjson.dumps(run_input, option=orjson.OPT_SORT_KEYS)).hexdigest()


@attrs.frozen
class Run:
    """One run. ``raw`` is upstream's object with its id and without its bulk (input, logs, node_runs)."""

    id: str
    status: str
    client_ref: str | None
    nodes_total: int | None
    nodes_completed: int | None
    output: JSON
    input: JSON
    cost: str | None
    duration_ms: int | float | None
    created_at: str | None
    completed_at: str | None
    failure_code: str | None
    failure_message: str | None
    metadata: JSONObject
    raw: JSONObject

    @property
    def terminal(self) -> bool:
        return self.status in TERMINAL

    @property
    def model(self) -> str | None:
        """The model that this proxy made the run for, where upstream kept it."""
        return _text(self.metadata, "mcp_model")

    @property
    def input_digest(self) -> str | None:
        """The digest of the input that this proxy made the run from, where upstream kept it."""
        return _text(self.metadata, "mcp_input_sha256")

    def echoes(self, run_input: JSONObject) -> bool:
        """Whether upstream's account of the run's input agrees with that input; it may have added defaults."""
        if not isinstance(self.input, dict):
            return True
        return all(name in self.input and self.input[name] == value for name, value in run_input.items())

    def age(self, now: float) -> float:
        """Seconds since upstream created it, by upstream's stamp; 0 when that cannot be read."""
        try:
            created = datetime.fromisoformat(self.created_at or "")
        except ValueError:
            return 0.0
        return max(0.0, now - created.timestamp()) if created.tzinfo else 0.0


def parse_run(payload: JSON) -> Run | None:
    """Read a run object; None when it has no usable id."""
    if not isinstance(payload, dict):
        return None
    id_ = _id(payload)
    if not id_ or run_id_fault(id_):
        return None
    metadata = payload.get("metadata")
    status = (_text(payload, "status_code", "status") or "unknown").strip().lower()[:MAX_STATUS_LENGTH]
    return Run(
        id=id_,
        status=_SPELLINGS.get(status, status),
        client_ref=_text(payload, "client_ref"),
        nodes_total=_count(payload.get("nodes_total")),
        nodes_completed=_count(payload.get("nodes_completed")),
        output=payload.get("output"),
        input=payload.get("input"),
        cost=_decimal(payload.get("cost")),
        duration_ms=_number(payload.get("duration_ms")),
        created_at=_text(payload, "created_at"),
        completed_at=_text(payload, "completed_at", "finished_at"),
        failure_code=failure_code(payload),
        failure_message=failure_reason(payload),
        metadata=metadata if isinstance(metadata, dict) else {},
        raw={key: value for key, value in payload.items() if key not in ("input", "logs", "node_runs")} | {"id": id_},
    )


@attrs.define
class Unclear(Exception):
    """A list of runs that does not show whether the one that is looked for exists."""


def pick(payload: JSON, model: str, client_ref: str, limit: int) -> Run | None:
    """The newest run with that model and client_ref in an answer of at most ``limit`` runs; None: there is none.

    A run of another model (by its own metadata) does not count; one that does not tell its model counts when no
    other fits. Raises ``Unclear`` when none is found though one may exist: the answer is no list, holds what
    cannot be read, or is not the whole list.
    """
    items = payload.get("items") if isinstance(payload, dict) else payload
    if not isinstance(items, list):
        raise Unclear
    readable = (run for run in map(parse_run, items) if run is not None)
    fitting = [run for run in readable if run.client_ref == client_ref]
    for wanted in (model, None):
        for run in fitting:
            if run.model == wanted:
                return run
    more = payload["next_pq"] if isinstance(payload, dict) and "next_pq" in payload else len(items) >= limit
    if more or not all(_is_another(item, model, client_ref) for item in items):
        raise Unclear
    return None


def _is_another(item: JSON, model: str, client_ref: str) -> bool:
    """Whether an entry of a list says of itself that it is not the run that is looked for."""
    if not isinstance(item, dict):
        return False
    metadata = item.get("metadata")
    its_model = _text(metadata, "mcp_model") if isinstance(metadata, dict) else None
    return _text(item, "client_ref") not in (None, client_ref) or its_model not in (None, model)


def _id(payload: JSONObject) -> str | None:
    """A run's id; a number is taken for its digits."""
    for value in (payload.get("id"), payload.get("run_id")):
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if isinstance(value, str) and value:
            return value
    return None


def _text(payload: JSONObject, *names: str) -> str | None:
    for name in names:
        value = payload.get(name)
        if isinstance(value, str) and value:
            return value
    return None


def _number(value: JSON) -> int | float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _count(value: JSON) -> int | None:
    number = _number(value)
    return int(number) if number is not None and 0 <= number < _MAX_STEPS else None


def _decimal(value: JSON) -> str | None:
    """A cost is a decimal string; a number is spelt as one."""
    if isinstance(value, str):
        return value
    number = _number(value)
    return None if number is None else f"{Decimal(str(number)):f}"


def media_type(url: str) -> str | None:
    """The media type that a URL's path promises."""
    path = url.partition("?")[0].partition("#")[0]
    name = path.rpartition("/")[2]
    return _MEDIA_TYPES.get(name.rpartition(".")[2].lower()) if "." in name else None


def output_urls(output: JSON) -> list[str]:
    """Every URL in an output, in order and once, whatever the shape around it."""
    found = dict.fromkeys(_urls(output))
    return list(found)[:MAX_OUTPUT_URLS]


def _urls(value: JSON) -> Iterator[str]:
    if isinstance(value, str):
        if _is_url(value):
            yield value
    elif isinstance(value, list):
        for item in value:
            yield from _urls(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name not in _NOT_OUTPUT:
                yield from _urls(item)


def _is_url(text: str) -> bool:
    """Whether a text can be a link: some clients throw the whole result away for one link that they cannot parse."""
    if len(text) > MAX_URL_LENGTH or not _URL.fullmatch(text):
        return False
    try:
        parts = urlsplit(text)
        return parts.port != 0 and _is_host(parts.hostname or "")
    except ValueError:  # brackets that do not fit, a port that is none
        return False


def _is_host(host: str) -> bool:
    """Raises ``ValueError`` for some that are none."""
    if ":" in host:
        return bool(IPv6Address(host))
    if _ENDS_IN_NUMBER.search(host):
        return bool(IPv4Address(host))
    return _HOST.fullmatch(host) is not None and bool(host.encode("idna").decode("idna"))


def without_inline_media(value: JSON) -> JSON:
    """The same value with every long ``data:`` URI replaced by a short note."""
    if isinstance(value, str):
        head = value[:200].lstrip()
        if len(value) <= MAX_INLINE_MEDIA or head[:5].lower() != "data:":
            return value
        kind = head[5:100].partition(",")[0].partition(";")[0] or "media"
        return f"[inline {kind} of {len(value)} characters left out; run again without sync_mode to get a URL]"
    if isinstance(value, list):
        return [without_inline_media(item) for item in value]
    if isinstance(value, dict):
        return {name: without_inline_media(item) for name, item in value.items()}
    return value
