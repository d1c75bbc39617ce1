"""The calls to Runflow's REST API that the proxy makes, each with the caller's own bearer.

Owns what surrounds a request: the trial of its key, the limits for large bodies, its measurement. What an answer means
is read in ``responses``; whether a request is repeated is decided by the callers.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Self, TypeVar

import aiohttp
import attrs
import orjson

from runflow_mcp.clock import Clock
from runflow_mcp.credentials import Bearer
from runflow_mcp.json_types import JSON
from runflow_mcp.observability.metrics import Metrics
from runflow_mcp.runflow.api import transport
from runflow_mcp.runflow.api.errors import Outcome, UpstreamError
from runflow_mcp.runflow.api.failure_log import FailureLog
from runflow_mcp.runflow.api.key_trials import KeyTrials
from runflow_mcp.runflow.api.paths import (
    BALANCE_PATH,
    LIST_PATH,
    UPLOADS_PATH,
    confirmation_path,
    run_path,
    runs_path,
)
from runflow_mcp.runflow.api.responses import (
    LARGE_BODY,
    Reading,
    Response,
    read_poll,
    read_response,
    read_run,
    read_upload,
)
from runflow_mcp.runflow.api.telemetry import Measurement
from runflow_mcp.runflow.api.transport import Request
from runflow_mcp.runflow.assets.paths import LocalFile
from runflow_mcp.runflow.assets.uploads import Upload
from runflow_mcp.runflow.runs.run import Run

T = TypeVar("T")

#: Characters of a file's name that are sent.
MAX_FILE_NAME = 255
_JSON_BODY: Mapping[str, str] = {"Content-Type": "application/json"}


@attrs.define
class LargeBodyTurn:
    """One request's turn for a large body, taken only if it has one and held until the body is parsed."""

    _turns: asyncio.Semaphore
    _taken: bool = False

    async def take(self) -> None:
        await self._turns.acquire()
        self._taken = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._taken:
            self._turns.release()


@attrs.frozen
class RunflowClient:
    """A client of one Runflow API. ``timeout``: seconds that a request may take."""

    session: aiohttp.ClientSession = attrs.field(repr=False)
    base_url: str
    timeout: float
    clock: Clock = attrs.field(repr=False)
    #: None: every key is trusted, as when only the operator calls.
    trials: KeyTrials | None = attrs.field(default=None, repr=False)
    metrics: Metrics = attrs.field(factory=Metrics, repr=False)
    #: Large bodies are parsed in one thread: several threads would starve the event loop.
    _parsing: ThreadPoolExecutor = attrs.field(
        factory=partial(ThreadPoolExecutor, 1, thread_name_prefix="large bodies"), repr=False
    )
    _large_bodies: asyncio.Semaphore = attrs.field(
        factory=partial(asyncio.Semaphore, transport.LARGE_BODIES), repr=False
    )
    #: Used by the callers, which decide whether a request is repeated.
    failures: FailureLog = attrs.field(factory=FailureLog, repr=False)

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
        """POST a run. ``timeout``: seconds that this attempt may take, at most the configured ones."""
        path = runs_path(model)
        headers = {"Idempotency-Key": idempotency_key, "Content-Type": "application/json", **trace}
        request = Request("create_run", "POST", path, headers, body=body)
        return await self._call(bearer, request, timeout, partial(read_run, path=path, base_url=self.base_url))

    async def get_run(
        self, bearer: Bearer, run_id: str, trace: Mapping[str, str], *, timeout: float | None = None
    ) -> Run:
        """GET a run. ``timeout``: as in ``create_run``; None for the configured one."""
        path = run_path(run_id)
        read = partial(read_run, path=path, base_url=self.base_url, run_id=run_id)
        return await self._call(bearer, Request("get_run", "GET", path, trace), timeout, read)

    async def poll_run(
        self, bearer: Bearer, run_id: str, trace: Mapping[str, str], *, seen: int | None = None
    ) -> Reading | None:
        """GET a run that a call waits for; None if the answer is the one with the digest ``seen``.

        Most polls of a run bring the same answer as the one before. It is recognised by its bytes and not parsed.
        """
        path = run_path(run_id)

        def read(response: Response, now: float) -> Reading | None:
            return read_poll(response, path, bearer, now, base_url=self.base_url, run_id=run_id, seen=seen)

        return await self._send(bearer, Request("get_run", "GET", path, trace), None, read)

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
        """GET a page of at most ``limit`` runs with that client_ref, newest first, as upstream sends it.

        ``next_pq``: the cursor that the previous page named. That it is sent as ``pq`` is a guess; an upstream that
        does not know ``pq`` answers with its first page again.
        """
        query = {"q": f"client_ref.EQ:'{client_ref}'", "limit": limit, "sort_by": "created_at:desc"}
        if next_pq is not None:
            query["pq"] = next_pq
        return await self._call(bearer, Request("find_run", "GET", LIST_PATH, trace, query), timeout, _unchanged)

    async def create_upload(
        self, bearer: Bearer, file: LocalFile, trace: Mapping[str, str], *, timeout: float | None = None
    ) -> Upload:
        """POST an upload of a file whose size is known; the caller then sends the file to its address."""
        body = {"filename": file.name[-MAX_FILE_NAME:], "mime_type": file.media_type, "size_bytes": file.size}
        request = Request("create_upload", "POST", UPLOADS_PATH, {**_JSON_BODY, **trace}, body=orjson.dumps(body))
        return await self._call(bearer, request, timeout, read_upload)

    async def confirm_upload(
        self, bearer: Bearer, asset_id: str, trace: Mapping[str, str], *, timeout: float | None = None
    ) -> None:
        """POST the confirmation of an upload. Raises ``UpstreamError``: 409 for one that was confirmed before."""
        path = confirmation_path(asset_id)
        request = Request("confirm_upload", "POST", path, {**_JSON_BODY, **trace}, body=b"{}")
        await self._call(bearer, request, timeout, _unchanged)

    async def get_balance(self, bearer: Bearer, trace: Mapping[str, str], *, timeout: float) -> JSON:
        """GET the balance of the account, as upstream sends it."""
        return await self._call(bearer, Request("get_balance", "GET", BALANCE_PATH, trace), timeout, _unchanged)

    async def _call(self, bearer: Bearer, request: Request, timeout: float | None, read: Callable[[JSON], T]) -> T:
        """Send a request; ``read`` takes the JSON of its answer."""
        whole = request.path == LIST_PATH

        def read_json(response: Response, now: float) -> T:
            return read(read_response(response, request.path, bearer, now, whole=whole))

        return await self._send(bearer, request, timeout, read_json)

    async def _send(
        self, bearer: Bearer, request: Request, timeout: float | None, read: Callable[[Response, float], T]
    ) -> T:
        """Send a request; ``read`` takes its answer and the Unix time at which it came."""
        exchange = partial(self._exchange, bearer, request, timeout, read)
        result: T = await (exchange() if self.trials is None else self.trials.run(bearer, request.path, exchange))
        return result

    async def _exchange(
        self, bearer: Bearer, request: Request, timeout: float | None, read: Callable[[Response, float], T]
    ) -> T:
        limit = self.timeout if timeout is None else min(self.timeout, timeout)
        if limit <= 0:  # aiohttp reads 0 as no limit at all
            raise UpstreamError(Outcome.NOT_SENT, request.path, "there was no time left to ask Runflow")
        credentials = {"Authorization": f"Bearer {bearer.reveal()}"}
        with (
            Measurement(self.clock, self.metrics, request.operation) as measurement,
            LargeBodyTurn(self._large_bodies) as turn,
        ):
            response = await transport.send(
                self.session, self.base_url, request, credentials=credentials, timeout=limit, on_large=turn.take
            )
            measurement.status = response.status
            now = self.clock.wall()
            if len(response.body) <= LARGE_BODY:
                return read(response, now)
            return await asyncio.get_running_loop().run_in_executor(self._parsing, read, response, now)


def _unchanged(payload: JSON) -> JSON:
    return payload
