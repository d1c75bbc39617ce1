"""The catalog: fetched once at a time, refreshed before it is old, kept when a refresh fails."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import pairwise

import aiohttp
import orjson
import pytest
from structlog.testing import capture_logs

from runflow_mcp.runflow.catalog.catalog import Catalog, CatalogUnavailable
from runflow_mcp.runflow.catalog.documents import Source
from runflow_mcp.runflow.catalog.entries import Snapshot
from runflow_mcp.sandbox import RunningSandbox
from tests.scripted_sandbox import Delay, Hang, RecordedRequest, Reset, Respond, ScriptedSandbox, Truncate
from tests.serving import free_port
from tests.virtual_time import VirtualClock

TTL = 300.0
PATH = "/models-catalog.json"
ENTRY = {"provider_slug": "a", "model_slug": "b"}
Keep = Callable[[], AbstractAsyncContextManager[None]]


@pytest.fixture
def replacements() -> list[tuple[Snapshot | None, Snapshot]]:
    return []


@pytest.fixture
async def catalog(
    session: aiohttp.ClientSession,
    upstream: RunningSandbox,
    clock: VirtualClock,
    replacements: list[tuple[Snapshot | None, Snapshot]],
) -> AsyncIterator[Catalog]:
    source = Source("catalog", session, f"{upstream.url}{PATH}", 30.0, clock)
    catalog = Catalog(source, TTL, clock, on_replaced=lambda before, after: replacements.append((before, after)))
    yield catalog
    await catalog.close()


@pytest.fixture
def keep(catalog: Catalog) -> Keep:
    """The background task that the server would run."""

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        task = asyncio.create_task(catalog.keep_fresh())
        try:
            yield
            assert not task.done(), "the background task must never end"
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return running


def fetches(sandbox: ScriptedSandbox) -> list[RecordedRequest]:
    return [seen for seen in sandbox.requests if seen.path == PATH]


def listing(*entries: object) -> Respond:
    return Respond(200, orjson.dumps({"models": entries}), {"Content-Type": "application/json"})


async def settle(clock: VirtualClock) -> None:
    await clock.sleep(0.01)


# The first fetch


async def test_a_thousand_first_callers_share_one_fetch(catalog: Catalog, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add("catalog", Delay(2))
    snapshots = await asyncio.gather(*(catalog.snapshot() for _ in range(1000)))
    assert len(fetches(sandbox)) == 1
    assert len({id(snapshot) for snapshot in snapshots}) == 1
    assert len(snapshots[0].models) > 40
    assert await catalog.snapshot() is snapshots[0]
    assert len(fetches(sandbox)) == 1


async def test_a_thousand_first_callers_share_one_failure(catalog: Catalog, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add("catalog", Respond(500))
    failures = await asyncio.gather(*(catalog.snapshot() for _ in range(1000)), return_exceptions=True)
    assert {type(failure) for failure in failures} == {CatalogUnavailable}
    assert len(fetches(sandbox)) == 1
    assert catalog.first_attempt_done.is_set()
    assert catalog.stale_seconds() is None
    assert (await catalog.snapshot()).models, "the next caller tries again"


async def test_a_first_caller_that_leaves_does_not_cancel_the_fetch_of_the_others(
    catalog: Catalog, sandbox: ScriptedSandbox
) -> None:
    sandbox.script.add("catalog", Delay(2))
    first = asyncio.create_task(catalog.snapshot())
    others = [asyncio.create_task(catalog.snapshot()) for _ in range(3)]
    await asyncio.sleep(1)
    first.cancel()
    snapshots = await asyncio.gather(*others)
    assert first.cancelled()
    assert len({id(snapshot) for snapshot in snapshots}) == 1
    assert len(fetches(sandbox)) == 1


async def test_the_catalog_is_fetched_without_any_key(catalog: Catalog, sandbox: ScriptedSandbox) -> None:
    await catalog.snapshot()
    [seen] = fetches(sandbox)
    assert (seen.key, seen.headers.get("Cookie"), seen.headers.get("If-None-Match")) == (None, None, None)


@pytest.mark.parametrize(
    "action",
    [
        Respond(404),
        Respond(500),
        Respond(204),
        Respond(304),
        Reset(),
        Truncate(),
        Hang(600),
        Respond(200, b"<html>"),
        Respond(200, b'{"code":"X"}'),
        Respond(200, b"[null]"),
        Respond(200, b"x" * (8 * 1024 * 1024 + 1)),
        Respond(200, gzip.compress(bytes(50_000_000)), {"Content-Encoding": "gzip"}),
    ],
    ids=[
        "404",
        "500",
        "204",
        "304",
        "reset",
        "torn",
        "silence",
        "html",
        "error",
        "nothing readable",
        "too long",
        "bomb",
    ],
)
async def test_an_unusable_catalog_is_unavailable_with_a_reason(
    catalog: Catalog, sandbox: ScriptedSandbox, action: Respond | Reset | Truncate | Hang
) -> None:
    sandbox.script.add("catalog", action, times=None)
    with pytest.raises(CatalogUnavailable) as caught:
        await catalog.snapshot()
    assert len(str(caught.value)) > 10
    assert "127.0.0.1" not in str(caught.value)
    assert catalog.current is None


async def test_a_catalog_whose_server_cannot_be_reached_is_unavailable(
    session: aiohttp.ClientSession, clock: VirtualClock
) -> None:
    url = f"http://127.0.0.1:{free_port()}{PATH}"
    source = Source("catalog", session, url, 30.0, clock)
    catalog = Catalog(source, TTL, clock, on_replaced=lambda _before, _after: None)
    with pytest.raises(CatalogUnavailable):
        await catalog.snapshot()


async def test_a_compressed_catalog_is_read(catalog: Catalog, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add("catalog", Respond(200, gzip.compress(orjson.dumps([ENTRY])), {"Content-Encoding": "gzip"}))
    assert [model.name for model in (await catalog.snapshot()).models] == ["a/b"]


async def test_unreadable_entries_of_a_fetched_catalog_are_skipped_and_counted(
    catalog: Catalog, sandbox: ScriptedSandbox
) -> None:
    sandbox.script.add("catalog", listing(None, 5, "x", [], {}, {"provider_slug": "..", "model_slug": "x"}, ENTRY))
    snapshot = await catalog.snapshot()
    assert [model.name for model in snapshot.models] == ["a/b"]
    assert snapshot.skipped == 6


async def test_a_catalog_with_half_an_emoji_is_read(catalog: Catalog, sandbox: ScriptedSandbox) -> None:
    """As JavaScript writes a description that it has cut; orjson takes none of the document then."""
    body = b'[{"provider_slug":"a","model_slug":"b","description":"nice \\ud83d","price":NaN}]'
    sandbox.script.add("catalog", Respond(200, body))
    [model] = (await catalog.snapshot()).models
    assert (model.name, model.description) == ("a/b", "nice ?")


# Redirects: these documents carry no bearer


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_up_to_three_redirects_of_a_document_are_followed(
    catalog: Catalog, sandbox: ScriptedSandbox, status: int
) -> None:
    sandbox.script.add("catalog", Respond(status, headers={"Location": PATH}), times=3)
    assert (await catalog.snapshot()).models
    assert len(fetches(sandbox)) == 4


async def test_a_fourth_redirect_of_a_document_is_not_followed(catalog: Catalog, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add("catalog", Respond(302, headers={"Location": PATH}), times=None)
    with pytest.raises(CatalogUnavailable):
        await catalog.snapshot()
    assert len(fetches(sandbox)) <= 4


@pytest.mark.parametrize(
    "location", ["ftp://example.com/x", "http://[::1", "http://", "javascript:alert(1)", "file:///etc/passwd", "", "::"]
)
async def test_a_redirect_to_an_unusable_address_makes_the_catalog_unavailable(
    catalog: Catalog, sandbox: ScriptedSandbox, location: str
) -> None:
    sandbox.script.add("catalog", Respond(302, headers={"Location": location}))
    with pytest.raises(CatalogUnavailable):
        await catalog.snapshot()


# Freshness


async def test_a_snapshot_is_refreshed_before_its_freshness_has_passed(
    catalog: Catalog,
    sandbox: ScriptedSandbox,
    clock: VirtualClock,
    keep: Keep,
    replacements: list[tuple[Snapshot | None, Snapshot]],
) -> None:
    async with keep():
        await settle(clock)
        first = await catalog.snapshot()
        await clock.sleep(TTL * 3)
        times = [seen.at for seen in fetches(sandbox)]
        assert all(later - earlier <= TTL for earlier, later in pairwise(times))
        assert len(times) >= 4
        assert catalog.stale_seconds() is None
        assert "If-None-Match" not in fetches(sandbox)[0].headers
        assert all("If-None-Match" in seen.headers for seen in fetches(sandbox)[1:])
        assert await catalog.snapshot() is first, "unchanged is unchanged: nothing is built anew"
    assert replacements == [(None, first)]


async def test_a_new_catalog_replaces_the_previous_one(
    catalog: Catalog,
    sandbox: ScriptedSandbox,
    clock: VirtualClock,
    keep: Keep,
    replacements: list[tuple[Snapshot | None, Snapshot]],
) -> None:
    sandbox.script.add("catalog", listing(ENTRY))
    async with keep():
        await settle(clock)
        first = await catalog.snapshot()
        await clock.sleep(TTL)
        second = await catalog.snapshot()
    assert (len(first.models), len(second.models) > 40) == (1, True)
    assert replacements == [(None, first), (first, second)]


async def test_callers_never_wait_for_a_refresh(
    catalog: Catalog, sandbox: ScriptedSandbox, clock: VirtualClock, keep: Keep
) -> None:
    async with keep():
        await settle(clock)
        sandbox.script.add("catalog", Delay(25))
        await clock.sleep(TTL * 0.8 + 1)
        assert len(fetches(sandbox)) == 2
        before = clock.monotonic()
        await catalog.snapshot()
        assert clock.monotonic() == before


# Failures after a success

BROKEN = {
    "an error": Respond(500),
    "a reset": Reset(),
    "a page": Respond(200, b"<!doctype html><html></html>", {"Content-Type": "text/html", "ETag": '"page"'}),
    "an error body": Respond(200, b'{"code":"X","message":"y"}'),
    "nothing readable": Respond(200, b'{"models":[null,5]}'),
    "torn": Truncate(),
    "an empty list": Respond(200, b'{"models":[]}', {"ETag": '"empty"'}),
    "an empty array": Respond(200, b"[]"),
    "nothing active": Respond(200, b'[{"provider_slug":"a","model_slug":"b","is_active":false}]'),
    "nothing active or readable": Respond(
        200, b'[{"provider_slug":"a","model_slug":"b","status":"retired"},{"provider_slug":".."},null]'
    ),
    "a bomb": Respond(200, gzip.compress(bytes(50_000_000)), {"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("action", BROKEN.values(), ids=BROKEN)
async def test_a_stale_snapshot_is_served_while_refreshes_fail(
    catalog: Catalog, sandbox: ScriptedSandbox, clock: VirtualClock, keep: Keep, action: Respond | Reset | Truncate
) -> None:
    async with keep():
        await settle(clock)
        first = await catalog.snapshot()
        sandbox.script.add("catalog", action, times=None)
        await clock.sleep(TTL - 1)
        assert catalog.stale_seconds() is None
        await clock.sleep(60)
        assert await catalog.snapshot() is first
        assert catalog.stale_seconds() == 60
        sandbox.script.clear()
        await clock.sleep(61)
        assert catalog.stale_seconds() is None
        assert await catalog.snapshot() is first, "upstream still knows what was had before"
    assert fetches(sandbox)[-1].headers["If-None-Match"]


async def test_an_emptied_catalog_is_warned_about(sandbox: ScriptedSandbox, clock: VirtualClock, keep: Keep) -> None:
    async with keep():
        await settle(clock)
        with capture_logs() as logged:
            sandbox.script.add("catalog", listing(), times=None)
            await clock.sleep(TTL)
    [line, *_] = [line for line in logged if line["log_level"] != "debug"]
    assert (line["event"], line["log_level"], line["stale"]) == ("catalog_fetch_failed", "warning", True)
    assert "no active model" in line["reason"]


async def test_a_first_catalog_may_be_empty_and_is_warned_about(catalog: Catalog, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add("catalog", listing())
    with capture_logs() as logged:
        assert (await catalog.snapshot()).models == ()
    assert [line["event"] for line in logged if line["log_level"] == "warning"] == ["catalog_empty"]


async def test_an_empty_catalog_is_replaced_by_one_with_entries_and_by_another_empty_one(
    catalog: Catalog, sandbox: ScriptedSandbox, clock: VirtualClock, keep: Keep
) -> None:
    sandbox.script.add("catalog", listing(), times=2)
    async with keep():
        await clock.sleep(TTL)
        assert catalog.stale_seconds() is None
        assert catalog.current is not None
        assert catalog.current.models == ()
        await clock.sleep(TTL)
        assert catalog.current.models


async def test_a_failed_refresh_is_repeated_forever_with_growing_pauses(
    catalog: Catalog, sandbox: ScriptedSandbox, clock: VirtualClock, keep: Keep
) -> None:
    sandbox.script.add("catalog", Respond(500), times=None)
    async with keep():
        await clock.sleep(600)
        times = [seen.at for seen in fetches(sandbox)]
        pauses = [later - earlier for earlier, later in pairwise(times)]
        assert pauses[0] <= 2
        assert [round(pause) for pause in pauses] == sorted(round(pause) for pause in pauses)
        assert 30 <= pauses[-1] <= 61
        assert len(times) < 20
        sandbox.script.clear()
        await clock.sleep(61)
        assert catalog.current is not None
        times = [seen.at for seen in fetches(sandbox)]
        sandbox.script.add("catalog", Respond(500), times=None)
        await clock.sleep(TTL)
        retry = [seen.at for seen in fetches(sandbox)][len(times) :]
        assert retry[1] - retry[0] <= 2, "after a success the pauses begin anew"


async def test_closing_cancels_a_fetch_under_way(
    catalog: Catalog, sandbox: ScriptedSandbox, clock: VirtualClock
) -> None:
    sandbox.script.add("catalog", Hang(600))
    caller = asyncio.create_task(catalog.snapshot())
    await clock.sleep(1)
    await catalog.close()
    assert clock.monotonic() == pytest.approx(1, abs=0.1)
    await asyncio.gather(caller, return_exceptions=True)
    assert caller.cancelled()
