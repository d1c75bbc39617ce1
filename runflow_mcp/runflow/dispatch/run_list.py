"""What a page of a list of runs says about the run that is looked up.

Pure: upstream's JSON in, the entries that may be the run and the cursor of the next page out.
"""

import attrs

from runflow_mcp.json_types import JSON
from runflow_mcp.runflow.runs.run import Run, parse_run

#: A listed client_ref that is the beginning of the order's is taken for a cut one only from this length on: upstreams
#: cut at 32 or more, and a caller's ``job-1`` is not a cut ``job-10``.
MIN_CUT_LENGTH = 20
#: Lengths at which an upstream may cut the client_ref of a run; a longer one is looked up in that form, too.
CUT_LENGTHS = (128, 64)
#: Entries of a page that are read, however few were asked for; reading this many takes some tens of milliseconds.
MAX_ENTRIES = 1000


@attrs.frozen
class Page:
    """One page of a list.

    ``candidates``: best first. ``unreadable``: an entry without a usable id, or one past ``MAX_ENTRIES``, may be the
    run. ``more``: there is another page. ``next_pq``: its cursor, if named.
    """

    candidates: tuple[Run, ...]
    unreadable: bool
    more: bool
    next_pq: str | None


def is_same_ref(upstream: str, client_ref: str, *, shortest: int = 1) -> bool:
    """Whether upstream's client_ref is the given one, perhaps in another case or cut to at least ``shortest``."""
    upstream, client_ref = upstream.strip().casefold(), client_ref.casefold()
    return upstream == client_ref or (len(upstream) >= shortest and client_ref.startswith(upstream))


def is_same_model(upstream: str, model: str) -> bool:
    return upstream.strip().casefold() == model.casefold()


def spellings(client_ref: str) -> tuple[str, ...]:
    """The client_ref as sent, then as a normalising upstream may store it: a filter finds only the stored form."""
    cut = [client_ref, *(client_ref[:length] for length in CUT_LENGTHS if len(client_ref) > length)]
    return tuple(dict.fromkeys([*cut, *map(str.lower, cut)]))


def read_page(payload: JSON, model: str, client_ref: str, limit: int) -> Page | None:
    """Read a page of at most ``limit`` runs, newest first; None when the answer is not a list of runs.

    A candidate is an entry that does not show another client_ref or another model.
    """
    items = payload.get("items") if isinstance(payload, dict) else payload
    if not isinstance(items, list):
        return None
    candidates = []
    unreadable = len(items) > MAX_ENTRIES
    for item in items[:MAX_ENTRIES]:
        # An entry without a usable id still shows whether it may be the run.
        run = parse_run({**item, "id": "unnamed"}, summary=True) if isinstance(item, dict) else None
        if run is None:
            unreadable = True
        elif _may_be(run, model, client_ref):
            candidate = parse_run(item, summary=True)
            unreadable |= candidate is None
            candidates += [candidate] if candidate is not None else []
    has_cursor = isinstance(payload, dict) and "next_pq" in payload
    next_pq: JSON = payload["next_pq"] if isinstance(payload, dict) and has_cursor else None
    return Page(
        tuple(sorted(candidates, key=lambda run: _rank(run, client_ref))),
        unreadable,
        more=bool(next_pq) if has_cursor else len(items) >= limit,
        next_pq=str(next_pq) if next_pq and isinstance(next_pq, str | int) and next_pq is not True else None,
    )


def _may_be(run: Run, model: str, client_ref: str) -> bool:
    ref = run.client_ref is None or is_same_ref(run.client_ref, client_ref, shortest=MIN_CUT_LENGTH)
    return ref and (run.model is None or is_same_model(run.model, model))


def _rank(run: Run, client_ref: str) -> tuple[int, bool]:
    """A sort key: the exact client_ref, then a normalised one, then none; each first with a model, then without."""
    distance = 2 if run.client_ref is None else int(run.client_ref != client_ref)
    return distance, run.model is None
