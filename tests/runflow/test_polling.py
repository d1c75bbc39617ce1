"""The pace of polls: the schedule, failures, Retry-After, and the last poll before the time limit."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runflow_mcp.runflow.runs.polling import (
    JITTER,
    LAST_POLL_MARGIN,
    MAX_BACKOFF,
    READ_LAG,
    TICKS,
    PollTimer,
    poll_delay,
    task_interval,
    tick,
)

LATE = 10_000.0


def timer(*, deadline: float = LATE, at_once: bool = False) -> PollTimer:
    return PollTimer.start(0.0, deadline, Random(0), at_once=at_once)


@pytest.mark.parametrize(
    ("waited", "delay"), [(0, 2), (29.9, 2), (30, 5), (119.9, 5), (120, 10), (86_400, 10)], ids=str
)
def test_the_delay_between_polls_is_two_then_five_then_ten_seconds(waited: float, delay: float) -> None:
    assert poll_delay(waited) == delay
    assert task_interval(waited) == max(5, delay)


def test_the_first_poll_of_a_new_run_comes_after_two_seconds_and_of_an_unread_one_at_once() -> None:
    assert timer().delay(0.0) == 2.0
    assert timer(at_once=True).delay(0.0) == 0.0


@given(waited=st.floats(0, 1000), failures=st.integers(0, 60), runs=st.integers(1, 10_000))
def test_a_delay_is_at_most_a_tenth_shorter_than_scheduled(waited: float, failures: int, runs: int) -> None:
    polls = timer()
    polls.answered(waited, runs)
    for _ in range(failures):
        polls.failed(waited, None)
    longest = min(poll_delay(waited) * 2.0 ** max(failures - 1, 0), MAX_BACKOFF)
    assert longest * (1 - JITTER) - 1e-9 <= polls.delay(waited) <= longest + 1e-9


@given(waited=st.floats(0, 1000), runs=st.integers(1, 10_000))
def test_polls_of_different_runs_begin_in_the_same_moments(waited: float, runs: int) -> None:
    polls = timer()
    polls.answered(waited, runs)
    ticks = (waited + polls.delay(waited)) / tick(runs)
    assert ticks == pytest.approx(round(ticks))


@pytest.mark.parametrize("runs", [1, 1000, 10_000])
def test_runs_that_started_together_are_soon_polled_at_different_moments(runs: int) -> None:
    moments = []
    for seed in range(64):
        now, polls = 0.0, PollTimer.start(0.0, LATE, Random(seed), at_once=True)
        for _ in range(8):
            polls.answered(now, runs)
            now += polls.delay(now)
        moments.append(round(now, 3))
    assert max(Counter(moments).values()) < 32
    assert max(moments) - min(moments) > 0.4


@pytest.mark.parametrize(
    ("runs", "seconds"), [(1, 0.1), (1000, 0.1), (2000, 0.05), (5000, 0.025), (10_000, 0.0125), (100_000, 0.0125)]
)
def test_the_more_runs_are_polled_the_fewer_of_their_moments_fall_together(runs: int, seconds: float) -> None:
    assert tick(runs) == seconds
    assert runs * seconds / 2 <= 65 or seconds == min(TICKS)


def test_an_answer_ends_the_backoff() -> None:
    polls = timer()
    for _ in range(5):
        polls.failed(1.0, None)
    assert polls.delay(1.0) > 25
    polls.answered(1.0, 1)
    assert polls.delay(1.0) <= 2


@pytest.mark.parametrize(("retry_after", "least"), [(0.0, 1.8), (1.0, 1.8), (20.0, 20.0)])
def test_retry_after_lengthens_a_delay_and_never_shortens_it(retry_after: float, least: float) -> None:
    polls = timer()
    polls.failed(1.0, retry_after)
    assert least <= polls.delay(1.0) <= max(2.0, retry_after)


@given(now=st.floats(0, 60), deadline=st.floats(0, 60))
def test_the_last_poll_comes_just_before_the_time_limit(now: float, deadline: float) -> None:
    polls = timer(deadline=deadline)
    polls.failed(now, 20.0)
    left = deadline - now
    if left > 2 * LAST_POLL_MARGIN:
        assert polls.delay(now) == pytest.approx(min(20.0, left - LAST_POLL_MARGIN))
    else:
        assert polls.delay(now) == 20.0, "it has been sent"


def test_not_found_is_read_lag_for_ten_seconds() -> None:
    assert timer().is_read_lag(READ_LAG)
    assert not timer().is_read_lag(READ_LAG + 0.1)
