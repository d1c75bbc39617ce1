"""Replicas behind the real nginx that are restarted or killed under load; ``rolling_restart`` has the long run."""

import signal
from pathlib import Path

import pytest

from tests.deploy.nginx_stack import Stack
from tests.deploy.rolling_restart import DRAINED, RESULT, STEADY, WAITING, Load, generate, restart, roll
from tests.server_process import NO_RATE_LIMITS

pytestmark = pytest.mark.real_time


@pytest.mark.parametrize("workers", [1, 2])
async def test_no_call_is_lost_while_each_replica_is_restarted_in_turn(tmp_path: Path, workers: int) -> None:
    """Neither a 5xx nor a reset, and every wait ends with a result or ``server_draining``."""
    stack = Stack.make(tmp_path, **NO_RATE_LIMITS, MCP_WORKERS=str(workers))
    with stack.running():
        load = Load(stack, bursts_per_restart=15)
        await roll(load, restarts=2)
    assert not load.failed
    assert load.ended.total() > 500
    assert load.ended[RESULT] + load.ended[DRAINED] >= WAITING


async def test_a_killed_replica_loses_only_the_calls_in_progress_there_and_no_run(tmp_path: Path) -> None:
    stack = Stack.make(tmp_path, **NO_RATE_LIMITS)
    with stack.running():
        load = Load(stack, bursts_per_restart=0)
        async with load.running():
            await load.until_each_waits()
            await restart(load, stack.replicas[0], signal.SIGKILL)
            assert load.failed.total() <= STEADY + WAITING
            for ref in load.cut:
                assert await load.call(generate(ref)) == RESULT
    assert set(load.failed) <= {"status 502", "ClientPayloadError"}
    assert load.cut
