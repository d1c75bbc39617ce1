"""Finding the run of an order upstream: by its client_ref through every page of the list, then by its id.

A list may answer with summaries, so what it finds is read by its id before anything about it is judged.
"""

from random import Random

import attrs

from runflow_mcp.clock import Clock
from runflow_mcp.json_types import JSON
from runflow_mcp.runflow.api.client import RunflowClient
from runflow_mcp.runflow.api.errors import Outcome, ResponseTooLarge, UpstreamError, meaning_of
from runflow_mcp.runflow.api.paths import LIST_PATH
from runflow_mcp.runflow.dispatch.attempts import BACKOFF, MAX_ATTEMPTS
from runflow_mcp.runflow.dispatch.order import Order
from runflow_mcp.runflow.dispatch.run_list import MIN_CUT, is_same_model, is_same_ref, read_page, spellings
from runflow_mcp.runflow.runs.run import Run, known_by_id

#: Seconds that one request of a look-up may take.
REQUEST_TIMEOUT = 10.0
#: How many runs a page is asked to hold: many, since a client_ref may have runs of many models; and how many when
#: these are more than an answer may hold, as with inline media.
PAGE_LIMIT, FEWER = 50, 5
#: Pages and runs that one look-up reads at most: more than any batch, and an end for a list without one.
MAX_PAGES, MAX_READS = 20, 64


@attrs.frozen
class Found:
    """A run that exists. ``read``: it was read by its id; else nothing but its id is known."""

    run: Run
    read: bool


@attrs.frozen
class OtherModel:
    """The runs under this client_ref did not tell their model in the list, and turned out to be of this one."""

    model: str


@attrs.frozen
class Finder:
    """Looks runs up. Every method ends by ``deadline`` (monotonic seconds), give or take the clock's rounding."""

    client: RunflowClient
    clock: Clock = attrs.field(repr=False)
    random: Random = attrs.field(repr=False)

    async def find(self, order: Order, deadline: float) -> Found | OtherModel | None:
        """The newest run of this order's model under its client_ref; None: the list holds none.

        A failed request is repeated, twice at most. Raises ``UpstreamError`` with the last failure; one with a 2xx
        status says that upstream answered without showing whether the run exists.
        """
        search = _Search(self, order, deadline)
        for attempt in range(1, MAX_ATTEMPTS):
            try:
                return await search.run()
            except UpstreamError as error:
                wait = BACKOFF.after(attempt, self.random, retry_after=error.retry_after)
                if error.outcome is Outcome.REFUSED or wait >= self._remaining(deadline) or not search.pages_left:
                    raise
                if isinstance(error, ResponseTooLarge):
                    search.limit = FEWER
            await self.clock.sleep(wait)
        return await search.run()

    async def read(self, order: Order, run_id: str, deadline: float) -> Found:
        """That run, read by its id, or, when upstream does not let it be read now, as one known by its id alone."""
        for attempt in range(1, MAX_ATTEMPTS + 1):
            timeout = min(REQUEST_TIMEOUT, self._remaining(deadline))
            try:
                run = await self.client.get_run(order.bearer, run_id, order.trace, timeout=timeout)
            except UpstreamError as error:
                meaning = meaning_of(error.status)
                wait = BACKOFF.after(attempt, self.random, retry_after=error.retry_after)
                refused = meaning.final and not meaning.missing  # a 404 may be read lag
                if refused or attempt == MAX_ATTEMPTS or wait >= self._remaining(deadline):
                    break
            else:
                return Found(run, read=True)
            await self.clock.sleep(wait)
        return Found(known_by_id(run_id, order.client_ref), read=False)

    def _remaining(self, deadline: float) -> float:
        return deadline - self.clock.monotonic()


@attrs.define
class _Search:
    """One look-up, which may go through the list more than once; its bounds hold for all of it together."""

    finder: Finder
    order: Order
    deadline: float
    limit: int = PAGE_LIMIT
    pages_left: int = MAX_PAGES
    reads_left: int = MAX_READS

    async def run(self) -> Found | OtherModel | None:
        for spelling in spellings(self.order.client_ref):
            if found := await self._through_pages(spelling):
                return found
        return None

    async def _through_pages(self, spelling: str) -> Found | OtherModel | None:
        cursors: set[str | None] = {None}
        next_pq = None
        other = None
        unclear = False
        while True:
            payload = await self._page(spelling, next_pq)
            page = read_page(payload, self.order.model, self.order.client_ref, self.limit)
            if page is None:
                raise _unclear()
            found, skipped = await self._best(page.candidates)
            if isinstance(found, Found):
                return found
            other = other or found
            unclear |= skipped or page.unreadable
            if not page.more:
                break
            next_pq = page.next_pq
            # A cursor seen before: upstream does not understand it, and would answer with the same page for ever.
            if next_pq in cursors:
                raise _unclear()
            cursors.add(next_pq)
        if unclear:
            raise _unclear()
        return other

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

    async def _best(self, candidates: tuple[Run, ...]) -> tuple[Found | OtherModel | None, bool]:
        """The first that turns out to be of this model, else the first that does not tell its model.

        Also returns whether a candidate was left that may be the run all the same.
        """
        untold = other = None
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
            elif not is_same_ref(ref, self.order.client_ref, shortest=MIN_CUT):
                continue
            elif model is None:
                untold = untold or found
            elif is_same_model(model, self.order.model):
                return found, False
            else:
                other = OtherModel(model)
        return untold or other, skipped


def _unclear() -> UpstreamError:
    reason = "Runflow sent a list of runs that does not show whether this one exists"
    return UpstreamError(Outcome.UNKNOWN, LIST_PATH, reason, status=200, answered=True)
