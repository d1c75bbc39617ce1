"""What a page of a list of runs says about the run that is looked for.

Pure: upstream's JSON in, the entries that may be the run and the way to the next page out.
"""

import attrs

from runflow_mcp.json_types import JSON
from runflow_mcp.runflow.runs.run import Run, parse_run

#: In a list that holds other runs as well, a client_ref that is the beginning of ours is ours only from this length
#: on: upstreams cut at 32 or more, and a caller's ``job-1`` is not a cut ``job-10``.
MIN_CUT = 20
#: Lengths at which an upstream may cut a client_ref that it keeps; a longer one is looked up in that form, too.
CUTS = (128, 64)
#: Entries of a page that are read, however few were asked for: some tens of milliseconds.
MAX_ENTRIES = 1000


@attrs.frozen
class Page:
    """One page. ``candidates``: best first. ``next_pq``: the cursor of the next page, None where none is named.

    ``unreadable``: an entry that does not say what it is, or was not read, might be the run.
    """

    candidates: tuple[Run, ...]
    unreadable: bool
    more: bool
    next_pq: str | None


def is_same_ref(theirs: str, ours: str, *, shortest: int = 1) -> bool:
    """Whether upstream's client_ref is ours as upstream keeps it: in another case, or cut to at least ``shortest``."""
    theirs, ours = theirs.strip().casefold(), ours.casefold()
    return theirs == ours or (len(theirs) >= shortest and ours.startswith(theirs))


def is_same_model(theirs: str, ours: str) -> bool:
    return theirs.strip().casefold() == ours.casefold()


def spellings(client_ref: str) -> tuple[str, ...]:
    """The client_ref as sent, then as a normalising upstream may keep it; an exact filter finds only what is kept."""
    cut = [client_ref, *(client_ref[:length] for length in CUTS if len(client_ref) > length)]
    return tuple(dict.fromkeys([*cut, *map(str.lower, cut)]))


def read_page(payload: JSON, model: str, client_ref: str, limit: int) -> Page | None:
    """Read a page of at most ``limit`` runs, newest first; None when the answer is not a list of runs.

    A candidate is an entry that does not say of itself that its client_ref or model is another one.
    """
    items = payload.get("items") if isinstance(payload, dict) else payload
    if not isinstance(items, list):
        return None
    candidates = []
    unreadable = len(items) > MAX_ENTRIES
    for item in items[:MAX_ENTRIES]:
        # An entry without a usable id still says whether it could be the run.
        run = parse_run({**item, "id": "unnamed"}, summary=True) if isinstance(item, dict) else None
        if run is None:
            unreadable = True
        elif _may_be(run, model, client_ref):
            named = parse_run(item, summary=True)
            unreadable |= named is None
            candidates += [named] if named is not None else []
    told = isinstance(payload, dict) and "next_pq" in payload
    next_pq: JSON = payload["next_pq"] if isinstance(payload, dict) and told else None
    return Page(
        tuple(sorted(candidates, key=lambda run: _rank(run, client_ref))),
        unreadable,
        more=bool(next_pq) if told else len(items) >= limit,
        next_pq=str(next_pq) if next_pq and isinstance(next_pq, str | int) and next_pq is not True else None,
    )


def _may_be(run: Run, model: str, client_ref: str) -> bool:
    ref = run.client_ref is None or is_same_ref(run.client_ref, client_ref, shortest=MIN_CUT)
    return ref and (run.model is None or is_same_model(run.model, model))


def _rank(run: Run, client_ref: str) -> tuple[int, bool]:
    """Exactly our client_ref before one that was normalised, before one untold; then a told model before none."""
    spelt = 2 if run.client_ref is None else int(run.client_ref != client_ref)
    return spelt, run.model is None
