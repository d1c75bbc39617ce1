"""Finding the run of an order upstream: by its client_ref through every page of the list, then by its id.

A list may hold summaries, so a run found in it is read by its id before anything about it is decided.
"""

from itertools import count
from random import Random

import attrs

from runflow_mcp.clock import Clock
from runflow_mcp.json_types import JSON
from runflow_mcp.runflow.api.client import RunflowClient
from runflow_mcp.runflow.api.errors import Outcome, ResponseTooLarge, UpstreamError, meaning_of
from runflow_mcp.runflow.api.paths import LIST_PATH
from runflow_mcp.runflow.dispatch.attempts import BACKOFF, MAX_ATTEMPTS
from runflow_mcp.runflow.dispatch.order import Order
from runflow_mcp.runflow.dispatch.run_list import MIN_CUT_LENGTH, is_same_model, is_same_ref, read_page, spellings
from runflow_mcp.runflow.runs.run import Run, unread_run

#: Seconds that one request of a look-up may take.
REQUEST_TIMEOUT = 10.0
#: Runs asked for in a page: many, since a client_ref may have runs of many models. The smaller limit follows an answer
#: that was too large, as with inline media.
PAGE_LIMIT, SMALL_PAGE_LIMIT = 50, 5
#: Pages and runs that one look-up reads at most: more than any batch needs, and a limit for an endless list.
MAX_PAGES, MAX_READS = 20, 64


@attrs.frozen
class Found:
    """A run that exists. ``read``: it was read by its id; otherwise only its id is known."""

    run: Run
    read: bool


@attrs.frozen
class OtherModel:
    """The list has a run under this client_ref, which turned out to be of this other model when it was read."""

    model: str


@attrs.frozen
class Finder:
    """Looks runs up. Every method ends by ``deadline`` (monotonic seconds), to within the clock's resolution."""

    client: RunflowClient
    clock: Clock = attrs.field(repr=False)
    random: Random = attrs.field(repr=False)

    async def find(self, order: Order, deadline: float) -> Found | OtherModel | None:
        """The newest run of this order's model under its client_ref; None if the list has no such run.

        A failed request is repeated, twice at most. Raises the last ``UpstreamError``; a 2xx status in it means that
        upstream answered without showing whether the run exists.
        """
        search = _Search(self, order, deadline)
        for attempt in count(1):
            try:
                return await search.run()
            except UpstreamError as error:
                pause = BACKOFF.after(attempt, self.random, retry_after=error.retry_after)
                hopeless = error.outcome is Outcome.REFUSED or not search.pages_left
                if hopeless or attempt == MAX_ATTEMPTS or pause >= self._remaining(deadline):
                    self.client.failures.given_up("find_run", error, attempt)
                    raise
                self.client.failures.retried("find_run", error, attempt, pause)
                if isinstance(error, ResponseTooLarge):
                    search.limit = SMALL_PAGE_LIMIT
            await self.clock.sleep(pause)
            self.client.metrics.upstream_retry("find_run")
        raise AssertionError("the last attempt returns or raises")

    async def read(self, order: Order, run_id: str, deadline: float) -> Found:
        """The run, read by its id; a run with nothing but its id if it cannot be read now."""
        for attempt in range(1, MAX_ATTEMPTS + 1):
            timeout = min(REQUEST_TIMEOUT, self._remaining(deadline))
            try:
                run = await self.client.get_run(order.bearer, run_id, order.trace, timeout=timeout)
            except UpstreamError as error:
                meaning = meaning_of(error.status)
                pause = BACKOFF.after(attempt, self.random, retry_after=error.retry_after)
                refused = meaning.final and not meaning.missing  # a 404 may be read lag
                if refused or attempt == MAX_ATTEMPTS or pause >= self._remaining(deadline):
                    self.client.failures.given_up("get_run", error, attempt)
                    break
                self.client.failures.retried("get_run", error, attempt, pause)
            else:
                return Found(run, read=True)
            await self.clock.sleep(pause)
            self.client.metrics.upstream_retry("get_run")
        return Found(unread_run(run_id, order.client_ref), read=False)

    def _remaining(self, deadline: float) -> float:
        return deadline - self.clock.monotonic()


@attrs.define
class _Search:
    """One look-up, which may go through the list more than once; its bounds apply to all passes together."""

    finder: Finder
    order: Order
    deadline: float
    limit: int = PAGE_LIMIT
    pages_left: int = MAX_PAGES
    reads_left: int = MAX_READS

    async def run(self) -> Found | OtherModel | None:
        for spelling in spellings(self.order.client_ref):
            if found := await self._search_pages(spelling):
                return found
        return None

    async def _search_pages(self, spelling: str) -> Found | OtherModel | None:
        cursors: set[str | None] = {None}
        next_pq = None
        fallback = None
        unclear = False
        while True:
            payload = await self._page(spelling, next_pq)
            page = read_page(payload, self.order.model, self.order.client_ref, self.limit)
            if page is None:
                raise _unclear()
            found, skipped = await self._read_candidates(page.candidates)
            if isinstance(found, Found):
                return found
            fallback = fallback or found
            unclear |= skipped or page.unreadable
            if not page.more:
                break
            next_pq = page.next_pq
            # A cursor seen before: upstream ignores it, and would answer with the same page forever.
            if next_pq in cursors:
                raise _unclear()
            cursors.add(next_pq)
        if unclear:
            raise _unclear()
        return fallback

    async def _page(self, spelling: str, next_pq: str | None) -> JSON:
        if not self.pages_left:
            raise _unclear()
        self.pages_left -= 1
        return await self.finder.client.list_runs(
            self.order.bearer,
            spelling,
            self.order.trace,
            limit=self.limit,
            timeout=min(REQUEST_TIMEOUT, self.deadline - self.finder.clock.monotonic()),
            next_pq=next_pq,
        )

    async def _read_candidates(self, candidates: tuple[Run, ...]) -> tuple[Found | OtherModel | None, bool]:
        """The first candidate of this order's model; failing that, the first one without a model.

        Also returns whether a candidate that may be the run was not read, or showed no client_ref.
        """
        without_model = other_model = None
        skipped = False
        for candidate in candidates:
            if not self.reads_left:
                skipped = True
                break
            self.reads_left -= 1
            found = await self.finder.read(self.order, candidate.id, self.deadline)
            ref = (found.run.client_ref if found.read else None) or candidate.client_ref
            model = found.run.model or candidate.model
            if ref is None:
                skipped = True
            elif not is_same_ref(ref, self.order.client_ref, shortest=MIN_CUT_LENGTH):
                continue
            elif model is None:
                without_model = without_model or found
            elif is_same_model(model, self.order.model):
                return found, False
            else:
                other_model = OtherModel(model)
        return without_model or other_model, skipped


def _unclear() -> UpstreamError:
    reason = "Runflow sent a list of runs that does not show whether this one exists"
    return UpstreamError(Outcome.UNKNOWN, LIST_PATH, reason, status=200, answered=True)
