"""Preparing and confirming uploads at Runflow. Both may be repeated: they start no run and cost nothing."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import count
from random import Random
from typing import TypeVar

import attrs

from runflow_mcp.clock import Clock
from runflow_mcp.credentials import Bearer
from runflow_mcp.observability.metrics import Operation
from runflow_mcp.runflow.api.client import RunflowClient
from runflow_mcp.runflow.api.errors import Outcome, UpstreamError, is_success, meaning_of
from runflow_mcp.runflow.assets.paths import LocalFile
from runflow_mcp.runflow.assets.uploads import Upload
from runflow_mcp.runflow.dispatch.attempts import BACKOFF, MAX_ATTEMPTS
from runflow_mcp.runflow.dispatch.errors import DispatchFailed, NotUploaded

T = TypeVar("T")

#: Maximum seconds for preparing all uploads of one call, and for one request.
PREPARATION, REQUEST_TIMEOUT = 25.0, 10.0
_UNPROCESSABLE = 422
#: In a 422 about a file that was uploaded and differs from the announced one.
_OTHER_FILE = re.compile(r"size|bytes|mismatch|mime|content.?type|too large|exceed", re.IGNORECASE)


@attrs.frozen
class Uploads:
    """The uploads of one call. ``trace``: headers that go upstream unchanged."""

    client: RunflowClient
    clock: Clock = attrs.field(repr=False)
    random: Random = attrs.field(repr=False)
    bearer: Bearer
    trace: Mapping[str, str]

    async def prepare(self, files: Sequence[LocalFile], deadline: float) -> list[Upload]:
        """An upload for each of these files, whose sizes are known. Raises ``UpstreamError``.

        ``deadline``: monotonic seconds.
        """
        deadline = min(deadline, self.clock.monotonic() + PREPARATION)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._outcome(file, deadline), name="prepare an upload") for file in files]
        outcomes = [task.result() for task in tasks]
        if errors := [outcome for outcome in outcomes if isinstance(outcome, UpstreamError)]:
            raise errors[0]
        return [outcome for outcome in outcomes if isinstance(outcome, Upload)]

    async def _outcome(self, file: LocalFile, deadline: float) -> Upload | UpstreamError:
        """The error is returned, since a task group would wrap a raised one."""

        async def send(timeout: float) -> Upload:
            return await self.client.create_upload(self.bearer, file, self.trace, timeout=timeout)

        try:
            return await self._repeat("create_upload", send, deadline)
        except UpstreamError as error:
            return error

    async def confirm(self, asset_id: str, deadline: float) -> None:
        """Confirm an upload, also one that is confirmed already.

        Raises ``NotUploaded`` when Runflow has no such upload, and ``DispatchFailed`` when it refuses or cannot answer.
        ``deadline``: monotonic seconds.
        """

        async def send(timeout: float) -> None:
            try:
                await self.client.confirm_upload(self.bearer, asset_id, self.trace, timeout=timeout)
            except UpstreamError as error:
                confirmed = error.answered or is_success(error.status) or meaning_of(error.status).exists
                if not confirmed:
                    raise

        try:
            await self._repeat("confirm_upload", send, deadline)
        except UpstreamError as error:
            if meaning_of(error.status).missing or (
                error.status == _UNPROCESSABLE
                and not _OTHER_FILE.search(f"{error.code} {error.message} {error.errors}")
            ):
                raise NotUploaded(asset_id, error.without_frames()) from None
            raise DispatchFailed(error.without_frames(), uncertain=False, sent=False) from None

    async def _repeat(self, operation: Operation, send: Callable[[float], Awaitable[T]], deadline: float) -> T:
        """The answer. Raises the last ``UpstreamError``; a refusal is not repeated."""
        for attempt in count(1):
            try:
                return await send(self._timeout(deadline))
            except UpstreamError as error:
                pause = BACKOFF.after(attempt, self.random, retry_after=error.retry_after)
                final = error.outcome is Outcome.REFUSED or error.answered or is_success(error.status)
                if final or attempt == MAX_ATTEMPTS or pause >= deadline - self.clock.monotonic():
                    self.client.failures.given_up(operation, error, attempt)
                    raise
                self.client.failures.retried(operation, error, attempt, pause)
            await self.clock.sleep(pause)
            self.client.metrics.upstream_retry(operation)
        raise AssertionError("the last attempt returns or raises")

    def _timeout(self, deadline: float) -> float:
        return min(REQUEST_TIMEOUT, deadline - self.clock.monotonic())
