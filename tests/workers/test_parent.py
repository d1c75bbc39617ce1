"""The parent of workers that do not start, and the pauses between its attempts. Real processes, without a server."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
import structlog

from runflow_mcp.clock import SystemClock
from runflow_mcp.runflow.backoff import Backoff
from runflow_mcp.signals import StopRequest
from runflow_mcp.workers import parent
from runflow_mcp.workers.errors import WorkersFailedError
from runflow_mcp.workers.parent import MAX_FAILED_STARTS, Parent
from tests.eventually import eventually_async

pytestmark = pytest.mark.real_time

WRONG_SETTINGS = 2
#: Workers that only report that they listen, then wait for a command or the parent's end.
LISTENS = "import os; os.write(0, b'{\"listening\": true}\\n'); os.read(0, 9999); os.read(0, 99)"


def of(code: str, count: int = 1, **options: Any) -> Parent:
    """A parent whose workers run this Python."""
    settings = {
        "command": [sys.executable, "-I", "-c", code],
        "environ": {"MCP_PORT": "8080"},
        "count": count,
        "grace": 0.1,
        "fatal_code": WRONG_SETTINGS,
        "stop": StopRequest(),
        "clock": SystemClock(),
        "metrics": None,
        "on_listening": lambda: None,
        "on_draining": lambda _waits: None,
    }
    return Parent(**{**settings, **options})


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parent, "PAUSES", Backoff(first=0.001, limit=0.003))


async def test_workers_that_end_at_once_again_and_again_end_the_server_with_one_line() -> None:
    with structlog.testing.capture_logs() as logs, pytest.raises(WorkersFailedError) as caught:
        await of("raise SystemExit(7)", count=2).run()
    ended = [line for line in logs if line["event"] == "worker_ended"]
    assert {line["cause"] for line in ended} == {"exit code 7"}
    for number in (1, 2):
        pauses = [line["pause"] for line in ended if line["worker"] == number]
        assert pauses[:4] == [0.001, 0.002, 0.003, 0.003]
        assert len(pauses) >= MAX_FAILED_STARTS
    assert caught.value.exit_code == 1
    assert "exit code 7" in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_worker_that_is_killed_is_reported_by_its_signal() -> None:
    with pytest.raises(WorkersFailedError, match="signal SIGKILL"):
        await of("import os; os.kill(os.getpid(), 9)").run()


async def test_a_worker_that_cannot_be_started_counts_as_ended() -> None:
    with pytest.raises(WorkersFailedError, match=r"could not be started: .*No such file"):
        await of("", command=["/nowhere/python"]).run()


async def test_wrong_settings_end_the_server_at_once_with_their_own_exit_code() -> None:
    with structlog.testing.capture_logs() as logs, pytest.raises(WorkersFailedError) as caught:
        await of(f"raise SystemExit({WRONG_SETTINGS})").run()
    assert caught.value.exit_code == WRONG_SETTINGS
    assert len([line for line in logs if line["event"] == "worker_ended"]) == 1


async def test_a_worker_that_does_not_start_is_tried_again_while_another_serves(tmp_path: Path) -> None:
    one_only = f"import os; os.open({str(tmp_path / 'mine')!r}, os.O_CREAT | os.O_EXCL); {LISTENS}"
    pair = of(one_only, count=2)
    with structlog.testing.capture_logs() as logs:

        def failed() -> int:
            return len([line for line in logs if line["event"] == "worker_ended"])

        running = asyncio.create_task(pair.run())
        await eventually_async(lambda: failed() > MAX_FAILED_STARTS, "many failed starts")
        pair.stop.add_signal()
        await running


async def test_a_worker_that_does_not_stop_is_killed_and_the_exit_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parent, "DRAIN_MARGIN", 0.1)
    monkeypatch.setattr(parent, "STOP_MARGIN", 0.1)
    serving = asyncio.Event()
    single = of(LISTENS.replace("os.read(0, 99)", "import time; time.sleep(60)"), on_listening=serving.set)
    running = asyncio.create_task(single.run())
    await serving.wait()
    single.stop.add_signal()
    with pytest.raises(WorkersFailedError, match="killed"):
        await running
