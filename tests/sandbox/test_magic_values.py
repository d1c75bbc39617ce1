"""Magic keys and models produce every error and every unusual run on demand."""

import pytest

from tests.sandbox.api_client import MODEL, Client
from tests.virtual_time import VirtualClock


@pytest.mark.parametrize("key", ["rf_live_sandbox", "rf_live_anything_else"])
async def test_any_live_key_works(client: Client, key: str) -> None:
    assert (await client.create(key=key)).status == 201


@pytest.mark.parametrize("key", [None, "", "rf_live_", "rfk_abc", "sk-1", "rf_live_sandbox_revoked"])
async def test_other_keys_are_unauthorized_on_every_route(client: Client, key: str | None) -> None:
    for reply in (
        await client.create(key=key),
        await client.get("/v1/runs/x", key=key),
        await client.get("/v1/runs", key=key),
    ):
        assert reply.error_code == (401, "UNAUTHORIZED")


async def test_the_bearer_scheme_works_in_any_case_and_no_other_scheme_works(client: Client) -> None:
    lower = await client.get("/v1/runs", key=None, headers={"Authorization": "bearer rf_live_x"})
    basic = await client.get("/v1/runs", key=None, headers={"Authorization": "Basic rf_live_x"})
    assert (lower.status, basic.status) == (200, 401)


@pytest.mark.parametrize(
    ("key", "status", "code"),
    [
        ("rf_live_sandbox_no_credit", 402, "INSUFFICIENT_CREDIT"),
        ("rf_live_sandbox_throttled", 429, "RATE_LIMITED"),
        ("rf_live_sandbox_forbidden", 403, "PERMISSION_DENIED"),
        ("rf_live_sandbox_readonly", 403, "PERMISSION_DENIED"),
        ("rf_live_sandbox_unverified", 403, "EMAIL_NOT_VERIFIED"),
        ("rf_svc_robot", 403, "PERMISSION_DENIED"),
    ],
)
async def test_magic_keys_may_read_but_not_dispatch(client: Client, key: str, status: int, code: str) -> None:
    assert (await client.create(key=key)).error_code == (status, code)
    assert (await client.get("/v1/runs", key=key)).status == 200
    assert len(client.sandbox.runs) == 0


async def test_the_error_for_a_key_without_credit_contains_the_balance(client: Client) -> None:
    reply = await client.create(key="rf_live_sandbox_no_credit")
    assert reply.json["errors"] == [{"type": "insufficient_credits", "message": "Balance is $0.00"}]


async def test_the_error_for_a_throttled_key_has_a_retry_after(client: Client) -> None:
    assert (await client.create(key="rf_live_sandbox_throttled")).headers["Retry-After"] == "1"


async def test_the_slow_model_takes_twenty_minutes(client: Client, clock: VirtualClock) -> None:
    run_id = (await client.create("sandbox/slow", {})).json["id"]
    await clock.sleep(20 * 60 - 1)
    run = (await client.run(run_id)).json
    assert (run["status_code"], run["nodes_completed"], run["nodes_total"]) == ("running", 6, 7)
    await clock.sleep(1)
    assert (await client.run(run_id)).json["status_code"] == "succeeded"


async def test_a_run_of_the_failing_model_has_a_failure_code_and_message(client: Client) -> None:
    run = await client.finished("sandbox/failing", {})
    assert (run["status_code"], run["failure_code"]) == ("failed", "CONTENT_POLICY_VIOLATION")
    assert run["failure_message"]
    assert run["output"] is run["cost"] is None


async def test_the_cancelled_model_ends_without_output(client: Client) -> None:
    run = await client.finished("sandbox/cancelled", {})
    assert (run["status_code"], run["output"], run["failure_code"]) == ("cancelled", None, None)


async def test_the_unavailable_model_cannot_be_dispatched(client: Client) -> None:
    assert (await client.create("sandbox/unavailable", {})).error_code == (503, "MODEL_UNAVAILABLE")


async def test_the_inline_model_returns_more_than_two_kilobytes_of_media(client: Client) -> None:
    [item] = (await client.finished("sandbox/inline", {}))["output"]["outputs"]
    assert item["url"].startswith("data:image/png;base64,")
    assert len(item["url"]) > 2048


async def test_the_odd_model_has_an_unknown_status_and_null_in_every_optional_field(
    client: Client, clock: VirtualClock
) -> None:
    run_id = (await client.create("sandbox/odd", {}, client_ref="odd-1")).json["id"]
    await clock.sleep(2)
    run = (await client.run(run_id)).json
    assert {name: value for name, value in run.items() if value is not None} == {
        "id": run_id, "status_code": "warming_up", "client_ref": "odd-1",
    }  # fmt: skip
    await clock.sleep(3)
    run = (await client.run(run_id)).json
    assert run["status_code"] == "succeeded"
    assert run["output"]["outputs"]
    assert run["cost"] is run["created_at"] is run["node_runs"] is None


async def test_an_unknown_model_is_not_found(client: Client) -> None:
    for model in ("acme/unheard-of", f"{MODEL}/nope", "sandbox/nope"):
        assert (await client.create(model)).error_code == (404, "MODEL_NOT_FOUND")
