"""Replicas behind the real nginx that are restarted or killed under load; ``rolling_restart`` has the long run."""

import signal
from collections.abc import Iterator

import pytest

from tests.deploy.nginx_stack import Stack
from tests.deploy.rolling_restart import DRAINED, RESULT, STEADY, WAITING, Load, generate, restart, roll
from tests.server_process import NO_RATE_LIMITS

pytestmark = pytest.mark.real_time


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A replica of one process, and one of two."""
    stack = Stack.make(tmp_path_factory.mktemp("stack"), workers=(1, 2), **NO_RATE_LIMITS)
    with stack.running():
        yield stack


async def test_no_call_is_lost_while_each_replica_is_restarted_in_turn(replicas: Stack) -> None:
    """Neither a 5xx nor a reset, and every wait ends with a result or ``server_draining``."""
    load = Load(replicas, bursts_per_restart=15)
    await roll(load, restarts=2)
    assert not load.failed
    assert load.ended.total() > 500
    assert load.ended[RESULT] + load.ended[DRAINED] >= WAITING


async def test_a_killed_replica_loses_only_the_calls_in_progress_there_and_no_run(replicas: Stack) -> None:
    load = Load(replicas, bursts_per_restart=0)
    async with load.running():
        await load.until_each_waits()
        await restart(load, replicas.replicas[0], signal.SIGKILL)
        assert load.failed.total() <= STEADY + WAITING
        for ref in load.cut:
            assert await load.call(generate(ref)) == RESULT
    assert set(load.failed) <= {"status 502", "ClientPayloadError"}
    assert load.cut
