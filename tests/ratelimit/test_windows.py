"""Sliding windows and the store in memory, compared with brute force."""

import itertools
import tracemalloc
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runflow_mcp.ratelimit import windows
from runflow_mcp.ratelimit.limits import Hit, Scope
from runflow_mcp.ratelimit.memory import MemoryStore
from runflow_mcp.ratelimit.windows import Window, time_to_wait
from runflow_mcp.settings.config import Config
from tests.byte_units import MIB
from tests.ratelimit.brute_force import BruteForce, most_in_any_window

LENGTH = 100

#: (microseconds since the last hit, caller, cost); the steps fall short of, on and past the window's end.
hits = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 5), st.sampled_from([33, 50, 99, 100, 101, 199, 200, 201, 1000]), st.integers(0, 250)),
        st.sampled_from("abc"),
        st.integers(1, 4),
    ),
    max_size=60,
)


@given(hits=hits, limit=st.integers(1, 6))
def test_admissions_and_waits_equal_those_of_brute_force(hits: list[tuple[int, str, int]], limit: int) -> None:
    window = Window(limit, LENGTH)
    expected = {caller: BruteForce(limit, LENGTH) for caller in "abc"}
    now = 0
    for step, caller, cost in hits:
        now += step
        wait = window.wait_us(caller, cost, now)
        assert wait == expected[caller].wait_us(cost, now)
        if not wait:
            window.add(caller, cost, now)
            expected[caller].add(cost, now)
    for brute_force in expected.values():
        assert most_in_any_window(brute_force.admitted, LENGTH) <= limit


@given(hits=hits, limit=st.integers(1, 6), idle=st.integers(LENGTH, 10 * LENGTH))
def test_a_caller_idle_for_a_window_may_use_the_whole_limit(
    hits: list[tuple[int, str, int]], limit: int, idle: int
) -> None:
    window = Window(limit, LENGTH)
    now = 0
    for step, caller, cost in hits:
        now += step
        if not window.wait_us(caller, cost, now):
            window.add(caller, cost, now)
    for caller in "abc":
        assert window.wait_us(caller, limit, now + idle) == 0


@given(hits=hits, limit=st.integers(4, 6))
def test_a_caller_is_admitted_after_exactly_the_wait_and_not_earlier(
    hits: list[tuple[int, str, int]], limit: int
) -> None:
    window = Window(limit, LENGTH)
    now = 0
    for step, caller, cost in hits:
        now += step
        if wait := window.wait_us(caller, cost, now):
            assert 0 < wait <= LENGTH
            assert window.wait_us(caller, cost, now + wait - 1) == 1
            now += wait
            assert window.wait_us(caller, cost, now) == 0
        window.add(caller, cost, now)


@given(
    hits=st.lists(st.tuples(st.integers(0, 120), st.sampled_from("ab"), st.integers(1, 3), st.booleans()), max_size=50),
    limit=st.integers(1, 5),
)
def test_a_refunded_hit_counts_as_if_it_never_happened(hits: list[tuple[int, str, int, bool]], limit: int) -> None:
    window = Window(limit, LENGTH)
    expected = {caller: BruteForce(limit, LENGTH) for caller in "ab"}
    now = 0
    for step, caller, cost, regretted in hits:
        now += step
        assert window.wait_us(caller, cost, now) == expected[caller].wait_us(cost, now)
        if expected[caller].fits(cost, now):
            window.add(caller, cost, now)
            expected[caller].add(cost, now)
            if regretted:
                window.refund(caller, now)
                expected[caller].refund(now)


@pytest.mark.parametrize(
    ("hits", "cost", "now", "wait"),
    [
        ([], 1, 0, 0),
        ([0, 0], 1, 0, 0),
        ([0, 10, 20], 1, 20, 80),
        ([0, 10, 20], 2, 20, 90),
        ([0, 10, 20], 3, 20, 100),
        ([0, 10, 20], 3, 99, 21),
        ([20], 3, 50, 70),
    ],
    ids=["empty", "room", "one", "two", "all", "just before the end", "a whole batch after one"],
)
def test_the_wait_is_until_enough_of_the_oldest_have_passed(hits: list[int], cost: int, now: int, wait: int) -> None:
    assert time_to_wait(hits, limit=3, window=LENGTH, cost=cost, now=now) == wait


def test_a_cost_above_the_limit_waits_a_whole_window() -> None:
    assert time_to_wait([], limit=3, window=LENGTH, cost=4, now=0) == LENGTH


def test_a_refund_of_an_unknown_hit_changes_nothing() -> None:
    window = Window(1, LENGTH)
    window.add("a", 1, 5)
    window.refund("a", 4)
    window.refund("b", 5)
    assert window.wait_us("a", 1, 6) == 99


@pytest.mark.parametrize("quiet", [1.0, 2.0, 50.0])
def test_callers_are_evicted_after_the_window(quiet: float) -> None:
    window = Window(5, LENGTH)
    for caller in range(1000):
        window.add(caller, 1, 0)
    window.evict_expired(int(LENGTH * quiet))
    window.evict_expired(int(LENGTH * (quiet + 1)))
    assert len(window) == 0


def test_a_hundred_thousand_addresses_cost_less_than_32_mib_and_are_freed() -> None:
    config = Config()
    store = Window(config.rate_limit_per_ip, 60_000_000)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(100_000):
            # A new string each time, as they come from requests.
            address = f"{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}.7"
            now = 1_000_000_000 + number
            assert store.wait_us(address, 1, now) == 0
            store.add(address, 1, now)
        full = tracemalloc.get_traced_memory()[0] - before
        store.evict_expired(1_061_000_000)
        store.evict_expired(1_122_000_000)
        left = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert full < 32 * MIB
    assert left < 0.1 * MIB


def test_refused_hits_take_no_memory() -> None:
    window = Window(1, LENGTH)
    window.add("a", 1, 0)
    for _ in range(1000):
        assert window.wait_us("a", 1, 50) == 50
        assert window.wait_us("b", 2, 50) == LENGTH
    assert window.hits("a") == [0]
    assert len(window) == 1


def test_expired_hits_far_from_the_limit_are_removed_many_at_a_time() -> None:
    window = Window(1_000_000, LENGTH)
    lengths = []
    for now in range(10 * LENGTH):
        assert window.wait_us("a", 1, now) == 0
        window.add("a", 1, now)
        lengths.append(len(window.hits("a")))
    removals = sum(after <= before for before, after in itertools.pairwise(lengths))
    assert removals < 15
    assert max(lengths) <= 2 * LENGTH + 1


def test_beyond_the_bound_the_oldest_caller_is_evicted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "MAX_CALLERS", 3)
    window = Window(1, LENGTH)
    for at, caller in enumerate("abcd"):
        window.add(caller, 1, at)
    assert len(window) == 3
    assert [bool(window.wait_us(caller, 1, 10)) for caller in "abcd"] == [False, True, True, True]


# The store: several windows at once, on a monotonic clock


class ManualClock:
    """A clock that a test moves."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        raise AssertionError("windows must not look at the wall clock: it can go back")

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def both(address: str, key: str) -> tuple[Hit, ...]:
    return (Hit(Scope.ADDRESS, address), Hit(Scope.KEY, key))


@pytest.fixture
def manual() -> ManualClock:
    return ManualClock()


def store_of(clock: ManualClock, per_ip: int, per_key: int) -> MemoryStore:
    limits = {"MCP_RATE_LIMIT_PER_IP": str(per_ip), "MCP_RATE_LIMIT_PER_KEY": str(per_key)}
    return MemoryStore.make(Config.from_mapping(limits), clock)


async def test_a_hit_counts_in_every_window_or_in_none(manual: ManualClock) -> None:
    store = store_of(manual, per_ip=2, per_key=3)
    for _ in range(2):
        assert (await store.admit(both("a", "k"), 1)).wait_us == 0
    refused = await store.admit(both("a", "k"), 1)
    assert (refused.wait_us, refused.scope) == (60_000_000, Scope.ADDRESS)
    # The refusal by address took nothing of the key's third hit.
    assert (await store.admit(both("b", "k"), 1)).wait_us == 0
    refused = await store.admit(both("b", "k"), 1)
    assert (refused.wait_us, refused.scope) == (60_000_000, Scope.KEY)
    assert (await store.admit(both("b", "other"), 1)).wait_us == 0


async def test_the_scope_with_the_longest_wait_is_named(manual: ManualClock) -> None:
    store = store_of(manual, per_ip=1, per_key=1)
    await store.admit(both("a", "other"), 1)
    manual.now += 20
    await store.admit(both("b", "k"), 1)
    manual.now += 20
    refused = await store.admit(both("a", "k"), 1)
    assert (refused.wait_us, refused.scope) == (40_000_000, Scope.KEY)
    manual.now += 40
    assert (await store.admit(both("a", "k"), 1)).wait_us == 0


async def test_a_refund_removes_one_hit_from_every_window(manual: ManualClock) -> None:
    store = store_of(manual, per_ip=1, per_key=1)
    decision = await store.admit(both("a", "k"), 1)
    await store.refund(both("a", "k"), decision.stamp)
    assert (await store.admit(both("a", "k"), 1)).wait_us == 0
    assert (await store.admit(both("a", "k"), 1)).wait_us == 60_000_000


async def test_the_scopes_are_kept_apart_even_for_equal_names(manual: ManualClock) -> None:
    store = store_of(manual, per_ip=1, per_key=1)
    counted: defaultdict[Scope, int] = defaultdict(int)
    for scope in Scope:
        while (await store.admit((Hit(scope, "same"),), 1)).wait_us == 0:
            counted[scope] += 1
    assert counted == {Scope.PRE_AUTH: 30, Scope.REJECTED: 30, Scope.ADDRESS: 1, Scope.KEY: 1}


async def test_evicting_between_requests_changes_no_decision(manual: ManualClock) -> None:
    store = store_of(manual, per_ip=1, per_key=9)
    await store.admit(both("a", "k"), 1)
    for _ in range(5):
        manual.now += 11.9
        store.evict_expired()
        assert (await store.admit(both("a", "k"), 1)).wait_us > 0
    manual.now += 0.5
    assert (await store.admit(both("a", "k"), 1)).wait_us == 0
    assert store.state() == {"store": "memory"}
