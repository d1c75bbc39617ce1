"""A run passes through its states in time, and ends in one of the documented shapes."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runflow_mcp.sandbox.timeline import FinalStatus, Timeline
from tests.sandbox.api_client import MODEL, PROMPT, SOLUTION, Client, Serve
from tests.scripted_sandbox import ScriptedSandbox
from tests.virtual_time import VirtualClock

IMAGE = {"image_url": "https://example.com/cat.png"}
RUN_FIELDS = {
    "id", "flow_id", "model_id", "target_type", "org_id", "status_code", "source_code", "input", "output",
    "context", "duration_ms", "cost", "cost_breakdown", "nodes_total", "nodes_completed", "batch_id",
    "client_ref", "request_id", "created_at", "started_at", "completed_at", "callback_url", "metadata",
    "has_logs", "has_node_runs", "links", "failure_code", "failure_message", "failure_stage_code",
    "node_runs", "logs",
}  # fmt: skip


async def test_a_new_run_is_queued_and_has_every_documented_field(client: Client) -> None:
    reply = await client.create(client_ref="shop-7", metadata={"mcp_model": MODEL})
    assert reply.status == 201
    run = reply.json
    assert set(run) == RUN_FIELDS
    assert run["status_code"] == "queued"
    assert run["created_at"] == "2026-11-23T12:00:00.000Z"
    assert (run["input"], run["client_ref"], run["metadata"]) == (PROMPT, "shop-7", {"mcp_model": MODEL})
    assert run["output"] is run["cost"] is run["started_at"] is run["completed_at"] is None
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", run["id"])


async def test_a_run_passes_through_every_state_while_its_steps_advance(client: Client, clock: VirtualClock) -> None:
    run_id = (await client.create()).json["id"]
    states: list[tuple[str, int]] = []
    for _ in range(70):
        run = (await client.run(run_id)).json
        states.append((run["status_code"], run["nodes_completed"]))
        await clock.sleep(0.1)
    assert list(dict.fromkeys(states)) == [
        ("queued", 0), ("dispatching", 0), ("running", 0), ("running", 1), ("running", 2), ("succeeded", 3),
    ]  # fmt: skip


async def test_a_succeeded_run_has_its_cost_and_its_times(client: Client) -> None:
    run = await client.finished()
    assert run["status_code"] == "succeeded"
    assert run["cost"] == "0.0800"
    assert run["started_at"] == "2026-11-23T12:00:01.000Z"
    assert "2026-11-23T12:00:04" <= run["completed_at"] <= "2026-11-23T12:00:06.001Z"
    assert 3000 <= run["duration_ms"] <= 5000
    assert [node["status_code"] for node in run["node_runs"]] == ["succeeded"] * 3
    assert [line["message"] for line in run["logs"]] == ["run started", "run succeeded"]


@pytest.mark.parametrize(
    ("model", "values", "steps"),
    [
        (MODEL, PROMPT, 3),
        (SOLUTION, IMAGE, 5),
        ("bytedance/seedance/2.0/fast/text-to-video", PROMPT, 7),
        ("elevenlabs/tts/eleven-v3", {"text": "hello"}, 7),
    ],
)
async def test_the_number_of_steps_depends_on_the_model(
    client: Client, model: str, values: dict[str, str], steps: int
) -> None:
    assert (await client.finished(model, values))["nodes_total"] == steps


async def test_speed_divides_every_duration(serve: Serve, clock: VirtualClock) -> None:
    client = await serve(ScriptedSandbox(clock=clock, speed=10))
    run_id = (await client.create("sandbox/slow")).json["id"]
    await clock.sleep(119.5)
    assert (await client.run(run_id)).json["status_code"] == "running"
    await clock.sleep(1)
    assert (await client.run(run_id)).json["status_code"] == "succeeded"


@pytest.mark.parametrize(
    ("model", "values", "cost"),
    [
        ("google/nano-banana-2", {**PROMPT, "num_images": 3}, "0.2400"),
        ("google/veo3.1/fast", {**PROMPT, "duration": "8s"}, "0.8000"),
        ("bytedance/seedance/2.0/text-to-video", PROMPT, "1.5170"),
        ("elevenlabs/tts/eleven-v3", {"text": "x" * 1000}, "0.1000"),
        (SOLUTION, IMAGE, "0.1000"),
    ],
)
async def test_the_cost_follows_the_list_price(
    client: Client, model: str, values: dict[str, object], cost: str
) -> None:
    assert (await client.finished(model, values))["cost"] == cost


@given(
    nodes=st.integers(1, 20),
    running=st.floats(0.01, 5000),
    final_status=st.sampled_from(FinalStatus),
    times=st.lists(st.floats(0, 6000), min_size=2),
)
def test_a_timeline_never_goes_back(nodes: int, running: float, final_status: FinalStatus, times: list[float]) -> None:
    timeline = Timeline(nodes=nodes, running=running, final_status=final_status)
    order = ["queued", "dispatching", "running", final_status]
    states = [timeline.state_at(time) for time in sorted(times)]
    for earlier, later in pairwise(states):
        assert order.index(earlier.status) <= order.index(later.status)
        assert 0 <= earlier.nodes_completed <= later.nodes_completed <= nodes
    last = timeline.state_at(timeline.seconds)
    assert last.status == final_status
    assert (last.nodes_completed == nodes) is last.succeeded
