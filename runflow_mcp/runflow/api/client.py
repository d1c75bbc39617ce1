"""The three calls to Runflow's REST API that the proxy makes, each with the caller's own bearer.

Says what upstream answered, as a ``Run`` or an ``UpstreamError``; decides nothing about retries.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TypeVar
from urllib.parse import urlencode

import aiohttp
import attrs
import orjson
from yarl import URL

from runflow_mcp import lenient_json
from runflow_mcp.clock import Clock
from runflow_mcp.credentials import Bearer
from runflow_mcp.json_types import JSON
from runflow_mcp.runflow.api import transport
from runflow_mcp.runflow.api.errors import Outcome, ResponseTooLarge, UpstreamError
from runflow_mcp.runflow.api.key_trials import KeyTrials
from runflow_mcp.runflow.api.paths import LIST_PATH, run_path, runs_path
from runflow_mcp.runflow.api.problem_log import ProblemLog
from runflow_mcp.runflow.reading import heavy_json
from runflow_mcp.runflow.reading.error_bodies import ErrorBody, plain_reason, read_error_body
from runflow_mcp.runflow.reading.trimming import trimmed
from runflow_mcp.runflow.runs.run import Run, parse_run

#: A Retry-After beyond this is not waited for.
MAX_RETRY_AFTER = 60.0
#: Bytes of a refusal in plain text that are read; a reason is one sentence.
MAX_PLAIN_TEXT = 64 * 1024
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_BUSY = frozenset({429, 503})
#: Statuses of a server or gateway that lost track, beside all other 5xx.
_UNKNOWN = frozenset({408})

T = TypeVar("T")


@attrs.frozen
class RunflowClient:
    """Speaks to one Runflow API."""

    session: aiohttp.ClientSession = attrs.field(repr=False)
    base_url: str
    timeout: float
    clock: Clock = attrs.field(repr=False)
    #: None: nobody but ourselves calls, with keys that are our own.
    trials: KeyTrials | None = attrs.field(default=None, repr=False)
    #: Large bodies are parsed in one thread: more of them would leave the event loop too few turns.
    _parsing: ThreadPoolExecutor = attrs.field(
        factory=partial(ThreadPoolExecutor, 1, thread_name_prefix="large bodies"), repr=False
    )
    _large_bodies: asyncio.Semaphore = attrs.field(
        factory=partial(asyncio.Semaphore, transport.LARGE_BODIES), repr=False
    )
    _problems: ProblemLog = attrs.field(factory=ProblemLog, repr=False)

    async def create_run(
        self,
        bearer: Bearer,
        model: str,
        body: bytes,
        *,
        idempotency_key: str,
        trace: Mapping[str, str],
        timeout: float,
    ) -> Run:
        """POST a run. ``request_timeout``: seconds this attempt may take, at most the configured ones."""
        path = runs_path(model)
        headers = {"Idempotency-Key": idempotency_key, "Content-Type": "application/json", **trace}
        return await self._call("POST", path, bearer, headers, self._read_run, body=body, timeout=timeout)

    async def get_run(
        self, bearer: Bearer, run_id: str, trace: Mapping[str, str], *, timeout: float | None = None
    ) -> Run:
        path = run_path(run_id)
        run = await self._call("GET", path, bearer, trace, self._read_run, timeout=timeout)
        if run.id.lower() != run_id.lower():  # a UUID may change its case
            raise UpstreamError(Outcome.UNKNOWN, path, "Runflow answered with another run")
        return run

    async def list_runs(
        self,
        bearer: Bearer,
        client_ref: str,
        trace: Mapping[str, str],
        *,
        limit: int,
        timeout: float,
        next_pq: str | None = None,
    ) -> JSON:
        """One page of at most ``limit`` runs with that client_ref, newest first, as upstream sends it.

        ``next_pq``: the cursor that the page before named. That it goes back as ``pq`` is a guess; an upstream
        that does not know it answers with its first page again.
        """
        query = {"q": f"client_ref.EQ:'{client_ref}'", "limit": limit, "sort_by": "created_at:desc"}
        if next_pq is not None:
            query["pq"] = next_pq
        return await self._call("GET", LIST_PATH, bearer, trace, _as_it_is, query=query, timeout=timeout)

    async def _call(
        self,
        method: str,
        path: str,
        bearer: Bearer,
        headers: Mapping[str, str],
        read: Callable[[JSON, str], T],
        *,
        query: Mapping[str, object] | None = None,
        body: bytes | None = None,
        timeout: float | None = None,
    ) -> T:
        request = partial(self._exchange, method, path, bearer, headers, read, query=query, body=body, timeout=timeout)
        try:
            answer: T = await (request() if self.trials is None else self.trials.ask(bearer, path, request))
        except UpstreamError as error:
            self._problems.report(error, self.clock.monotonic())
            raise
        return answer

    async def _exchange(
        self,
        method: str,
        path: str,
        bearer: Bearer,
        headers: Mapping[str, str],
        read: Callable[[JSON, str], T],
        *,
        query: Mapping[str, object] | None,
        body: bytes | None,
        timeout: float | None,
    ) -> T:
        limit = self.timeout if timeout is None else min(self.timeout, timeout)
        if limit <= 0:  # aiohttp reads 0 as no limit at all
            raise UpstreamError(Outcome.NOT_SENT, path, "there was no time left to ask Runflow")
        target = f"{self.base_url}{path}" + (f"?{urlencode(query)}" if query else "")
        async with (
            transport.translate_errors(path),
            self.session.request(
                method,
                URL(target, encoded=True),
                data=body,
                headers={
                    "Authorization": f"Bearer {bearer.reveal()}",
                    "Accept": "application/json",
                    **headers,
                },
                timeout=transport.request_timeout(limit),
                # A redirect would carry the bearer to wherever it points.
                allow_redirects=False,
            ) as response,
            AsyncExitStack() as turn,
        ):

            async def take_turn() -> None:
                await turn.enter_async_context(self._large_bodies)

            success = response.status // 100 == 2  # noqa: PLR2004 - any 2xx
            async with transport.translate_errors(path, answered=success):
                text = await transport.read_capped(response, path, take_turn)
            if success:
                return await self._parsed(text, partial(_content, text, response, bearer, path, read))
            error_body = await self._parsed(text, partial(_error_body, text, response, bearer))
            raise self._refusal(response, error_body, path)

    async def _parsed(self, text: bytes, parse: Callable[[], T]) -> T:
        """What ``parse`` makes of a body; in the thread for large ones."""
        if len(text) <= transport.LARGE_BODY:
            return parse()
        return await asyncio.get_running_loop().run_in_executor(self._parsing, parse)

    def _read_run(self, payload: JSON, path: str) -> Run:
        run = parse_run(payload, self.base_url)
        if run is None:
            raise UpstreamError(Outcome.UNKNOWN, path, "Runflow sent a run without an id", answered=True)
        return run

    def _refusal(self, response: aiohttp.ClientResponse, body: ErrorBody, path: str) -> UpstreamError:
        status = response.status
        if status in _BUSY:
            outcome = Outcome.BUSY
        elif status in _UNKNOWN or status >= 500:  # noqa: PLR2004 - any 5xx
            outcome = Outcome.UNKNOWN
        else:
            outcome = Outcome.REFUSED
        return UpstreamError(
            outcome,
            path,
            f"Runflow answered HTTP {status}" + (", a redirect, which is not followed" if status in REDIRECTS else ""),
            status=status,
            code=body.code,
            message=body.reason,
            errors=body.errors,
            retry_after=retry_after(response.headers.get("Retry-After"), self.clock.wall()),
        )


def _as_it_is(payload: JSON, _path: str) -> JSON:
    return payload


def _loads(text: bytes, bearer: Bearer, *, whole: bool = False) -> JSON:
    """The JSON in a body, None where there is none; without the caller's key, should upstream echo it.

    Values are not walked in Python: an answer of 8 MiB may have many. ``whole``: raises ``heavy_json.TooHeavy``
    rather than leave out some.
    """
    try:
        if len(text) <= transport.LARGE_BODY:
            payload = lenient_json.loads(text)
        else:
            payload, text = heavy_json.loads(text, whole=whole)
        if b"\\" in text:  # the key may be spelt with escapes, so it is looked for in a spelling without
            payload, text = _respelt(payload)
        return lenient_json.loads(bearer.mask_json(text)) if bearer.appears_in(text) else payload
    except heavy_json.TooHeavy:
        raise
    except ValueError:
        return None


def _respelt(payload: JSON) -> tuple[JSON, bytes]:
    """A value and its JSON without needless escapes; one that nests too deeply to be written is cut first."""
    try:
        return payload, orjson.dumps(payload)
    except orjson.JSONEncodeError:
        payload = trimmed(payload)
        return payload, orjson.dumps(payload)


def _content(
    text: bytes, response: aiohttp.ClientResponse, bearer: Bearer, path: str, read: Callable[[JSON, str], T]
) -> T:
    """What a 2xx says, read by ``read``. Raises ``UpstreamError``."""
    try:
        payload = _loads(text, bearer, whole=path == LIST_PATH)
    except heavy_json.TooHeavy:
        raise ResponseTooLarge(Outcome.UNKNOWN, path, "Runflow sent a list that is too large to be read") from None
    if payload is None:
        reason = "Runflow sent an answer that is not JSON"
        raise UpstreamError(Outcome.UNKNOWN, path, reason, status=response.status)
    return read(payload, path)


def _error_body(text: bytes, response: aiohttp.ClientResponse, bearer: Bearer) -> ErrorBody:
    """What the body of an error says. Of one that is not JSON only a 4xx's words count: a 5xx's may be internals."""
    payload = _loads(text, bearer)
    if payload is not None:
        return read_error_body(payload)
    if response.status // 100 != 4 or "html" in response.content_type:  # noqa: PLR2004 - any 4xx
        return ErrorBody()
    try:
        return ErrorBody(reason=plain_reason(bearer.mask(text[:MAX_PLAIN_TEXT].decode())))
    except UnicodeDecodeError:
        return ErrorBody()


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds that a Retry-After header asks for (a count or an HTTP date), clamped to 0 to 60."""
    if value is None:
        return None
    try:
        if value.strip().isdigit():
            seconds = float(value)
        else:
            when = parsedate_to_datetime(value)
            # HTTP dates are GMT; one that does not say so is read as nothing else.
            seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)
