"""The meaning of an answer of Runflow's API: status, headers and body in, JSON or an ``UpstreamError`` out.

Pure: knows neither aiohttp nor how the answer came. The caller's key is masked wherever upstream echoes it.
"""

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

import attrs
import orjson

from runflow_mcp import lenient_json
from runflow_mcp.credentials import Bearer
from runflow_mcp.json_types import JSON
from runflow_mcp.runflow.api.errors import Outcome, ResponseTooLarge, UpstreamError, is_success, meaning_of
from runflow_mcp.runflow.api.paths import UPLOADS_PATH
from runflow_mcp.runflow.assets.uploads import Upload, parse_upload
from runflow_mcp.runflow.reading import heavy_json
from runflow_mcp.runflow.reading.error_bodies import ErrorBody, plain_reason, read_error_body
from runflow_mcp.runflow.reading.trimming import trimmed
from runflow_mcp.runflow.runs.run import Run, parse_run

#: Bytes of a body beyond which it may hold more values than the event loop has time to parse.
LARGE_BODY = 512 * 1024
#: Longest pause, in seconds, that a Retry-After header can ask for.
MAX_RETRY_AFTER = 60.0
#: Bytes that are read of an error body in plain text; a reason is one sentence.
MAX_PLAIN_TEXT = 64 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@attrs.frozen
class Response:
    """A whole answer. ``headers``: looked up by their canonical names (``Retry-After``)."""

    status: int
    headers: Mapping[str, str]
    body: bytes = attrs.field(repr=False)


@attrs.frozen
class Reading:
    """A run, and the digest of the answer that showed it."""

    run: Run
    digest: int


def read_poll(
    response: Response, path: str, bearer: Bearer, now: float, *, base_url: str, run_id: str, seen: int | None
) -> Reading | None:
    """The run in an answer; None if it is the answer with the digest ``seen``. Raises as ``read_run`` does."""
    # Python's own keyed 64-bit hash: a collision of two successive answers is practically impossible.
    digest = hash(response.body)
    if digest == seen and is_success(response.status):
        return None
    return Reading(read_run(read_response(response, path, bearer, now), path, base_url, run_id), digest)


def read_response(response: Response, path: str, bearer: Bearer, now: float, *, whole: bool = False) -> JSON:
    """The JSON of a 2xx. Raises ``UpstreamError`` for any other status, and for a 2xx that is not JSON.

    ``now``: Unix time, which a Retry-After date is relative to. ``whole``: raise ``ResponseTooLarge`` for a 2xx with
    more values than can be parsed, rather than leave some out.
    """
    success = is_success(response.status)
    try:
        payload = _loads(response.body, bearer, whole=whole and success)
    except heavy_json.TooHeavy:
        raise ResponseTooLarge(Outcome.UNKNOWN, path, "Runflow sent a list that is too large to be read") from None
    if not success:
        raise _error(response, _error_body(payload, response, bearer), path, now)
    if payload is None:
        reason = "Runflow sent an answer that is not JSON"
        raise UpstreamError(Outcome.UNKNOWN, path, reason, status=response.status)
    return payload


def read_run(payload: JSON, path: str, base_url: str, run_id: str | None = None) -> Run:
    """The run in an answer. ``run_id``: the run that was asked for. Raises ``UpstreamError`` for anything else."""
    run = parse_run(payload, base_url)
    if run is None:
        raise UpstreamError(Outcome.UNKNOWN, path, "Runflow sent a run without an id", answered=True)
    if run_id is not None and run.id.lower() != run_id.lower():  # a UUID may change its case
        raise UpstreamError(Outcome.UNKNOWN, path, "Runflow answered with another run", answered=True)
    return run


def read_upload(payload: JSON) -> Upload:
    """The upload in an answer. Raises ``UpstreamError`` for one that cannot be used."""
    upload = parse_upload(payload)
    if upload is None:
        reason = "Runflow sent an upload without an id, or with an address that is not https"
        raise UpstreamError(Outcome.UNKNOWN, UPLOADS_PATH, reason, answered=True)
    return upload


def _error(response: Response, body: ErrorBody, path: str, now: float) -> UpstreamError:
    redirect = ", a redirect, which is not followed" if response.status in _REDIRECTS else ""
    return UpstreamError(
        meaning_of(response.status).outcome,
        path,
        f"Runflow answered HTTP {response.status}{redirect}",
        status=response.status,
        code=body.code,
        message=body.reason,
        errors=body.errors,
        retry_after=retry_after(response.headers.get("Retry-After"), now),
    )


def _loads(text: bytes, bearer: Bearer, *, whole: bool) -> JSON:
    """The JSON in a body with the caller's key masked; None where the body is not JSON.

    Values are not walked in Python: an answer of 8 MiB may have many. ``whole``: raises ``heavy_json.TooHeavy``
    rather than leave some out.
    """
    try:
        if len(text) <= LARGE_BODY:
            payload = lenient_json.loads(text)
        else:
            payload, text = heavy_json.loads(text, whole=whole)
        if b"\\" in text:  # the key may be written with escapes, so it is looked for in a text without them
            payload, text = _rewritten(payload)
        return lenient_json.loads(bearer.mask_json(text)) if bearer.appears_in(text) else payload
    except heavy_json.TooHeavy:
        raise
    except ValueError:
        return None


def _rewritten(payload: JSON) -> tuple[JSON, bytes]:
    """A value and its JSON without needless escapes; what is nested too deeply to be written is cut first."""
    try:
        return payload, orjson.dumps(payload)
    except orjson.JSONEncodeError:
        payload = trimmed(payload)
        return payload, orjson.dumps(payload)


def _error_body(payload: JSON, response: Response, bearer: Bearer) -> ErrorBody:
    """What an error body says. Plain text counts only in a 4xx: in a 5xx it may show upstream's internals."""
    if payload is not None:
        return read_error_body(payload)
    content_type = response.headers.get("Content-Type", "").partition(";")[0].lower()
    if response.status // 100 != 4 or "html" in content_type:  # noqa: PLR2004 - any 4xx
        return ErrorBody()
    try:
        return ErrorBody(reason=plain_reason(bearer.mask(response.body[:MAX_PLAIN_TEXT].decode())))
    except UnicodeDecodeError:
        return ErrorBody()


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds that a Retry-After header asks for (a count or an HTTP date), clamped to 0 to 60.

    ``now``: Unix time. None: there is no header, or it cannot be read.
    """
    if value is None:
        return None
    try:
        if value.strip().isdigit():
            seconds = float(value)
        else:
            date = parsedate_to_datetime(value)
            # HTTP dates are GMT, also those that do not say so.
            seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)
