"""Pauses between attempts."""

from random import Random

import pytest

from runflow_mcp.runflow.backoff import Backoff


def test_a_pause_doubles_with_each_failure_up_to_the_limit() -> None:
    backoff = Backoff(first=1.0, limit=60.0)
    assert [backoff.after(failures) for failures in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert backoff.after(10_000) == 60


def test_jitter_takes_away_at_most_its_share_of_a_pause() -> None:
    backoff = Backoff(first=2.0, jitter=0.5)
    pauses = [backoff.after(1, Random(seed)) for seed in range(200)]
    assert 1 <= min(pauses) < 1.1
    assert 1.9 < max(pauses) <= 2


@pytest.mark.parametrize("seconds", [0.0, 7.0, 60.0])
def test_the_time_that_upstream_names_takes_precedence(seconds: float) -> None:
    backoff = Backoff(first=0.5, limit=1.0, jitter=0.5)
    assert backoff.after(3, Random(0), retry_after=seconds) == seconds
