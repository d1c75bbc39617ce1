"""The shared store against a real Redis, and during outages."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.resources import files

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from runflow_mcp.clock import Clock, SystemClock
from runflow_mcp.ratelimit.limits import Decision, Hit, Scope
from runflow_mcp.ratelimit.redis import MAX_CONNECTIONS, TIMEOUT, RedisStore
from runflow_mcp.settings.config import Config
from tests.ratelimit.brute_force import BruteForce, most_in_any_window
from tests.ratelimit.conftest import RedisServer
from tests.required_programs import require
from tests.serving import free_port
from tests.virtual_time import real_seconds

pytestmark = pytest.mark.real_time

HITS = (Hit(Scope.ADDRESS, "192.0.2.7"), Hit(Scope.KEY, "0123456789ab"))
FALLBACK = "fallback"
NOTE = "Redis does not answer. Until it does, this process counts by itself."
#: Seconds that a request may be delayed by a Redis that does not answer; the machine may be busy.
MOST = 3.0
#: Seconds that a Redis which does answer may take on a busy machine.
PATIENT = 30.0


class ManualClock:
    """A clock that a test moves, so that "a second later" takes none."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        raise AssertionError("the windows of Redis go by its own clock")

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


Make = Callable[..., RedisStore]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """A store at a URL, with the limits 3 by address and 5 by key."""
    async with AsyncExitStack() as stack:

        def store(url: str, clock: Clock | None = None, timeout: float = PATIENT, **changes: str) -> RedisStore:
            limits = {"MCP_RATE_LIMIT_PER_IP": "3", "MCP_RATE_LIMIT_PER_KEY": "5", **changes}
            config = Config.from_mapping({"MCP_RATE_LIMIT_STORE": url, **limits})
            made = RedisStore.make(config, clock or SystemClock(), timeout=timeout)
            stack.push_async_callback(made.close)
            return made

        yield store


async def admitted(store: RedisStore, times: int, hits: tuple[Hit, ...] = HITS) -> int:
    decisions = [await store.admit(hits, 1) for _ in range(times)]
    return sum(not decision.wait_us for decision in decisions)


async def test_two_processes_enforce_one_limit(make: Make, redis_server: RedisServer) -> None:
    first, second = make(redis_server.url), make(redis_server.url)
    assert await admitted(first, 2) + await admitted(second, 2) == 3
    refused = await second.admit(HITS, 1)
    assert 59_000_000 < refused.wait_us <= 60_000_000
    assert refused.scope is Scope.ADDRESS
    assert first.state() == {"store": "redis", "state": "ok", "outages": 0, "fallbacks": 0}


async def test_requests_at_the_same_moment_are_counted_exactly(make: Make, redis_server: RedisServer) -> None:
    stores = [make(redis_server.url, MCP_RATE_LIMIT_PER_IP="20", MCP_RATE_LIMIT_PER_KEY="600") for _ in range(2)]
    decisions = await asyncio.gather(*(store.admit(HITS, 1) for store in stores for _ in range(50)))
    assert sum(not decision.wait_us for decision in decisions) == 20


async def test_a_request_is_one_round_trip(make: Make, redis_server: RedisServer) -> None:
    store = make(redis_server.url)
    await store.admit(HITS, 1)
    redis_server.reset()
    await admitted(store, 5)
    sent = redis_server.calls()
    inside_the_script = {"time", "lindex", "llen", "lpop", "rpush", "pexpire"}
    assert {name: calls for name, calls in sent.items() if name not in inside_the_script} == {"evalsha": 5}


async def test_the_windows_share_a_hash_tag_and_are_forgotten_by_redis_itself(
    make: Make, redis_server: RedisServer
) -> None:
    await admitted(make(redis_server.url), 4)
    with redis_server.client() as client:
        keys = sorted(client.scan_iter())
        assert keys == ["runflow-mcp:{limits}:ip:192.0.2.7", "runflow-mcp:{limits}:key:0123456789ab"]
        assert all(59_000 < int(client.pttl(key)) <= 60_000 for key in keys)
        # The fourth was refused by address, and counts nowhere.
        assert [client.llen(key) for key in keys] == [3, 3]


async def test_a_caller_that_waits_for_retry_after_is_admitted(make: Make, redis_server: RedisServer) -> None:
    store = make(redis_server.url, MCP_RATE_LIMIT_WINDOW_MS="1000")
    await admitted(store, 3)
    refused = await store.admit(HITS, 1)
    assert 0 < refused.wait_us <= 1_000_000
    # Instead of waiting, let what is stored grow older by as much.
    with redis_server.client() as client:
        for key in client.scan_iter():
            for place, stamp in enumerate(client.lrange(key, 0, -1)):
                client.lset(key, place, str(int(stamp) - refused.wait_us))
    assert (await store.admit(HITS, 1)).wait_us == 0


async def test_a_batch_counts_its_entries_or_nothing(make: Make, redis_server: RedisServer) -> None:
    store = make(redis_server.url)
    assert (await store.admit(HITS, 2)).wait_us == 0
    assert (await store.admit(HITS, 2)).wait_us > 0
    assert (await store.admit(HITS, 1)).wait_us == 0
    assert (await store.admit(HITS, 1)).wait_us > 0


async def test_a_window_that_must_only_have_room_is_not_added_to(make: Make, redis_server: RedisServer) -> None:
    store = make(redis_server.url, MCP_RATE_LIMIT_PRE_AUTH_PER_IP="2")
    rejected = Hit(Scope.REJECTED, "192.0.2.7")
    looked_at = rejected._replace(counted=False)
    key = Hit(Scope.KEY, "a key")
    for _ in range(3):
        assert (await store.admit((key, looked_at), 1)).wait_us == 0
    assert (await store.admit((looked_at,), 2)).wait_us == 0
    assert (await store.admit((looked_at,), 3)).wait_us > 0
    await store.admit((rejected,), 1)
    assert (await store.admit((looked_at,), 2)).wait_us > 0
    await store.admit((rejected,), 1)
    refused = await store.admit((key, looked_at), 1)
    assert (refused.wait_us > 0, refused.scope) == (True, Scope.REJECTED)
    with redis_server.client() as client:
        assert client.llen("runflow-mcp:{limits}:key:a key") == 3


async def test_a_refund_removes_one_hit_from_every_window(make: Make, redis_server: RedisServer) -> None:
    store = make(redis_server.url)
    first = await store.admit(HITS, 1)
    await admitted(store, 2)
    await store.refund(HITS, first.stamp)
    with redis_server.client() as client:
        assert [client.llen(key) for key in client.scan_iter()] == [2, 2]
    assert await admitted(store, 2) == 1


async def test_cancelled_requests_do_not_mix_up_the_answers_of_others(make: Make, redis_server: RedisServer) -> None:
    store = make(redis_server.url)
    full = (Hit(Scope.PRE_AUTH, "full"),)
    assert await admitted(store, 31, full) == 30
    given_up = [asyncio.ensure_future(store.admit(full, 1)) for _ in range(40)]
    await asyncio.sleep(0)
    for task in given_up[::2]:
        task.cancel()
    await asyncio.gather(*given_up, return_exceptions=True)
    fresh = [(Hit(Scope.PRE_AUTH, f"fresh-{number}"),) for number in range(40)]
    decisions = await asyncio.gather(*(store.admit(hits, 1) for hits in [*fresh, full]))
    assert [bool(decision.wait_us) for decision in decisions] == [False] * 40 + [True]
    assert store.state()["outages"] == 0


steps = st.lists(
    st.tuples(
        st.one_of(st.sampled_from([0, 1, 500, 999, 1000, 1001, 2500]), st.integers(0, 1200)),
        st.sampled_from(["a", "b"]),
        st.integers(1, 3),
    ),
    min_size=1,
    max_size=25,
)


@pytest.fixture(scope="module")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(require("redis-server"), tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps, limits=st.tuples(st.integers(1, 5), st.integers(1, 5)))
def test_the_script_decides_as_brute_force_does(
    shared_redis: RedisServer, steps: list[tuple[int, str, int]], limits: tuple[int, int]
) -> None:
    """The script of the product, with its question for the time answered by the test."""
    text = files("runflow_mcp.ratelimit").joinpath("admit.lua").read_text()
    timed, replaced = re.subn(r"redis\.call\('TIME'\)", "{ARGV[#ARGV - 1], ARGV[#ARGV]}", text)
    assert replaced == 1
    window, now = 1_000_000, 1_700_000_000_000_000
    addresses = {name: BruteForce(limits[0], window) for name in "ab"}
    one_key = BruteForce(limits[1], window)
    with shared_redis.client() as client:
        client.flushall()
        script = client.register_script(timed)
        for step, caller, cost in steps:
            now += step * 1000
            waits = [addresses[caller].wait_us(cost, now), one_key.wait_us(cost, now)]
            # The second window of the key is only looked at: it must refuse like the first and count nothing.
            figures = [window, cost, limits[0], 1, limits[1], 1, limits[1], 0, *divmod(now, 1_000_000)]
            wait, fullest, stamp = script([f"ip:{caller}", "key", "key"], figures)
            assert int(wait) == max(waits)
            if max(waits):
                assert waits[int(fullest) - 1] == max(waits)
                continue
            assert int(stamp) == now
            addresses[caller].add(cost, now)
            one_key.add(cost, now)
            # Redis expires keys by its own clock; here it is the test's that counts.
            client.persist("key")
            client.persist(f"ip:{caller}")
    for brute in (*addresses.values(), one_key):
        assert most_in_any_window(brute.admitted, window) <= brute.limit


# Without Redis


def events(logs: list[structlog.typing.EventDict]) -> list[str]:
    return [line["event"] for line in logs if line["event"].startswith("limit_store")]


async def test_an_outage_falls_back_to_local_windows_until_redis_is_back(make: Make, redis_server: RedisServer) -> None:
    clock = ManualClock()
    store = make(redis_server.url, clock)
    assert await admitted(store, 4) == 3
    redis_server.kill()
    with structlog.testing.capture_logs() as logs:
        # The windows of this process know nothing of the three, but keep the same limits.
        assert await admitted(store, 5) == 3
        clock.now += 1.1
        assert await admitted(store, 2) == 0
        assert store.state() == {"store": "redis", "state": FALLBACK, "note": NOTE, "outages": 1, "fallbacks": 7}
        assert events(logs) == ["limit_store_unavailable"]
        redis_server.start()
        assert await admitted(store, 1) == 0  # a second has not passed yet
        clock.now += 1.1
        assert await admitted(store, 4) == 3
    assert store.state() == {"store": "redis", "state": "ok", "outages": 1, "fallbacks": 8}
    assert events(logs) == ["limit_store_unavailable", "limit_store_recovered"]


async def test_an_outage_is_one_however_many_connections_it_broke(make: Make, redis_server: RedisServer) -> None:
    clock = ManualClock()
    store = make(redis_server.url, clock, MCP_RATE_LIMIT_PER_IP="1000", MCP_RATE_LIMIT_PER_KEY="1000")
    await asyncio.gather(*(store.admit(HITS, 1) for _ in range(40)))
    redis_server.kill()
    with structlog.testing.capture_logs() as logs:
        await store.admit(HITS, 1)
        redis_server.start()
        clock.now += 1.1
        await store.admit(HITS, 1)
        assert store.state()["state"] == "ok"
        # Of the connections that the outage broke, most have not been tried since.
        await asyncio.gather(*(store.admit(HITS, 1) for _ in range(40)))
    assert store.state()["outages"] == 1
    assert events(logs) == ["limit_store_unavailable", "limit_store_recovered"]


async def test_the_state_is_unknown_before_redis_has_answered(make: Make, redis_server: RedisServer) -> None:
    store = make(redis_server.url)
    assert store.state()["state"] == "unknown"
    await store.probe()
    assert store.state() == {"store": "redis", "state": "ok", "outages": 0, "fallbacks": 0}


async def test_the_probe_finds_a_redis_that_starts_later_without_any_request(
    make: Make, redis_server: RedisServer
) -> None:
    redis_server.kill()
    store = make(redis_server.url)
    with structlog.testing.capture_logs() as logs:
        probing = asyncio.create_task(store.probe())
        while not logs:  # noqa: ASYNC110 - what is logged sets no event
            await asyncio.sleep(0.01)
        assert store.state()["state"] == "unknown"
        redis_server.start()
        await asyncio.wait_for(probing, PATIENT)
    assert store.state()["state"] == "ok"
    assert events(logs) == ["limit_store_unknown"]


async def test_the_probe_ends_with_the_first_request_that_gets_no_answer(make: Make) -> None:
    store = make(f"redis://127.0.0.1:{free_port()}")
    probing = asyncio.create_task(store.probe())
    await asyncio.sleep(0)
    await store.admit(HITS, 1)
    assert store.state()["state"] == FALLBACK
    await asyncio.wait_for(probing, PATIENT)


async def test_without_a_redis_from_the_start_requests_are_admitted_under_local_windows(make: Make) -> None:
    store = make(f"redis://127.0.0.1:{free_port()}")
    assert await admitted(store, 5) == 3
    assert store.state() == {"store": "redis", "state": FALLBACK, "note": NOTE, "outages": 1, "fallbacks": 5}


async def test_a_locally_admitted_hit_is_refunded_locally(make: Make) -> None:
    store = make(f"redis://127.0.0.1:{free_port()}")
    first = await store.admit(HITS, 1)
    await admitted(store, 2)
    await store.refund(HITS, first.stamp)
    assert await admitted(store, 2) == 1


async def test_a_refund_during_a_new_outage_raises_nothing(make: Make, redis_server: RedisServer) -> None:
    store = make(redis_server.url)
    first = await store.admit(HITS, 1)
    redis_server.kill()
    await store.refund(HITS, first.stamp)
    assert store.state()["outages"] == 1


async def test_expired_local_windows_are_evicted_too(make: Make) -> None:
    clock = ManualClock()
    store = make(f"redis://127.0.0.1:{free_port()}", clock)
    await admitted(store, 3)
    for _ in range(2):
        clock.now += 61
        store.evict_expired()
    assert [len(window) for window in store.local.windows.values()] == [0] * len(Scope)


def refuse_writes(client: Redis) -> None:
    client.config_set("maxmemory", "1")


def want_a_password(client: Redis) -> None:
    client.config_set("requirepass", "other")


def be_a_lonely_master(client: Redis) -> None:
    client.config_set("min-replicas-to-write", "1")


@pytest.mark.parametrize("refuse", [refuse_writes, be_a_lonely_master, want_a_password])
async def test_a_redis_that_refuses_counts_as_unavailable(
    make: Make, redis_server: RedisServer, refuse: Callable[[Redis], None]
) -> None:
    with redis_server.client() as client:
        refuse(client)
    store = make(redis_server.url)
    assert await admitted(store, 5) == 3
    assert store.state()["state"] == FALLBACK


@asynccontextmanager
async def listening(say: bytes = b"") -> AsyncIterator[tuple[str, list[int]]]:
    """(URL, a list that grows with each connection) of something that accepts, says this and nothing else."""
    connections: list[int] = []
    writers: list[asyncio.StreamWriter] = []

    async def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        writers.append(writer)
        writer.write(say)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, backlog=256)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", connections
    finally:
        server.close()
        for writer in writers:
            writer.close()


async def timed(store: RedisStore) -> tuple[float, Decision]:
    began = real_seconds()
    decision = await store.admit(HITS, 1)
    return real_seconds() - began, decision


async def test_a_hanging_redis_delays_one_request_a_second_and_that_one_briefly(make: Make) -> None:
    clock = ManualClock()
    async with listening() as (url, connections):
        store = make(url, clock, TIMEOUT, MCP_RATE_LIMIT_PER_IP="1000")
        took, decision = await timed(store)
        assert (decision.wait_us, len(connections)) == (0, 1)
        assert 0.2 < took < MOST
        for later in (0.0, 0.5, 0.4):
            clock.now += later
            took, _ = await timed(store)
            assert took < 0.45
        assert len(connections) == 1
        clock.now += 0.2
        # A second has passed: one asks again, those beside it do not wait with it.
        asking = asyncio.ensure_future(timed(store))
        await asyncio.sleep(0)
        beside = await asyncio.gather(*(timed(store) for _ in range(50)))
        assert max(took for took, _ in beside) < 0.45
        assert (await asking)[0] < MOST
        assert len(connections) == 2
        await store.close()


async def test_a_redis_that_begins_to_hang_delays_everybody_only_once(make: Make) -> None:
    async with listening() as (url, _):
        store = make(url, timeout=TIMEOUT)
        first = await asyncio.gather(*(timed(store) for _ in range(200)))
        assert max(took for took, _ in first) < 2 * MOST
        assert store.state()["outages"] == 1
        await store.close()


@asynccontextmanager
async def slowed(port: int, delay: float) -> AsyncIterator[str]:
    """The URL of the Redis at this port, whose every answer comes so many seconds later."""
    pumps: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
        try:
            while data := await reader.read(65_536):
                await asyncio.sleep(seconds)
                writer.write(data)
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        pumps.add(asyncio.create_task(pump(reader, inner_writer, 0)))
        pumps.add(asyncio.create_task(pump(inner_reader, writer, delay)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, backlog=256)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        await asyncio.sleep(0)  # the aborted transports close


async def test_more_requests_than_connections_at_a_slow_redis_are_not_an_outage(
    make: Make, redis_server: RedisServer
) -> None:
    async with slowed(redis_server.port, 0.4) as url:
        limits = {"MCP_RATE_LIMIT_PER_IP": "150", "MCP_RATE_LIMIT_PER_KEY": "600"}
        # Four turns of 0.4 s and more: longer than one script may take, even on a busy machine.
        store = make(url, timeout=1.5, **limits)
        decisions = await asyncio.gather(*(store.admit(HITS, 1) for _ in range(4 * MAX_CONNECTIONS)))
        assert sum(not decision.wait_us for decision in decisions) == 150
        assert store.state() == {"store": "redis", "state": "ok", "outages": 0, "fallbacks": 0}
        await store.close()


async def test_requests_that_queue_for_a_connection_fall_back_as_soon_as_redis_is_unavailable(make: Make) -> None:
    async with listening() as (url, connections):
        store = make(url, ManualClock(), TIMEOUT)
        timed_decisions = await asyncio.gather(*(timed(store) for _ in range(4 * MAX_CONNECTIONS)))
        assert max(took for took, _ in timed_decisions) < 2 * MOST
        assert sum(not decision.wait_us for _, decision in timed_decisions) == 3
        assert len(connections) <= MAX_CONNECTIONS
        assert store.state()["outages"] == 1
        await store.close()


async def test_a_request_cancelled_in_the_queue_leaks_no_connection_slot(make: Make, redis_server: RedisServer) -> None:
    async with slowed(redis_server.port, 0.1) as url:
        store = make(url, MCP_RATE_LIMIT_PER_IP="1000", MCP_RATE_LIMIT_PER_KEY="1000")
        for patience in (0.0, 0.05, 0.2, 0.3):
            tasks = [asyncio.ensure_future(store.admit(HITS, 1)) for _ in range(2 * MAX_CONNECTIONS)]
            await asyncio.sleep(patience)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        assert (await store.admit(HITS, 1)).wait_us == 0
        assert store.slots.free == MAX_CONNECTIONS
        await store.close()


async def test_another_server_at_the_address_counts_as_unavailable(make: Make) -> None:
    async with listening(b"HTTP/1.1 400 Bad Request\r\n\r\n") as (url, _):
        store = make(url)
        assert await admitted(store, 5) == 3
        assert store.state()["state"] == FALLBACK
        await store.close()


async def test_neither_log_nor_repr_shows_the_password(make: Make) -> None:
    store = make(f"redis://me:geheim@127.0.0.1:{free_port()}/0")
    with structlog.testing.capture_logs() as logs:
        await store.admit(HITS, 1)
    assert events(logs) == ["limit_store_unavailable"]
    assert "me:***@" in str(logs)
    assert "geheim" not in f"{logs}{store!r}{store.state()}"


def test_the_repr_of_the_settings_does_not_show_the_password() -> None:
    config = Config.from_mapping({"MCP_RATE_LIMIT_STORE": "redis://me:geheim@127.0.0.1/0"})
    assert "geheim" not in repr(config)
