"""Repeated dispatches under the three idempotency rules."""

from tests.sandbox.api_client import MODEL, Client
from tests.virtual_time import VirtualClock

OTHER_INPUT = {"prompt": "something else"}


async def test_the_same_key_and_body_replay_the_first_response(client: Client, clock: VirtualClock) -> None:
    first = await client.create(idempotency_key="k1")
    await clock.sleep(60)
    again = await client.create(idempotency_key="k1")
    assert (again.status, again.content) == (201, first.content)
    assert len(client.sandbox.runs) == 1


async def test_the_same_key_with_another_body_or_model_is_a_conflict(client: Client) -> None:
    await client.create(idempotency_key="k1")
    for model, values, fields in (
        (MODEL, OTHER_INPUT, {}),
        ("photalabs/phota", None, {}),
        (MODEL, None, {"client_ref": "new"}),
    ):
        reply = await client.create(model, values, idempotency_key="k1", **fields)
        assert reply.error_code == (409, "CONFLICT")
    assert len(client.sandbox.runs) == 1


async def test_without_an_idempotency_key_every_dispatch_creates_a_run(client: Client) -> None:
    assert {(await client.create(client_ref="same")).status for _ in range(3)} == {201}
    assert len({run.id for run in client.sandbox.runs.with_client_ref("same")}) == 3


async def test_idempotency_keys_of_two_organisations_are_independent(client: Client) -> None:
    await client.create(idempotency_key="k1", key="rf_live_a")
    assert (await client.create(MODEL, OTHER_INPUT, idempotency_key="k1", key="rf_live_b")).status == 201


async def test_a_rejected_dispatch_does_not_use_up_its_idempotency_key(client: Client) -> None:
    assert (await client.create(MODEL, {}, idempotency_key="k1")).status == 422
    assert (await client.create(idempotency_key="k1")).status == 201


async def test_by_client_ref_the_existing_run_is_returned_in_its_current_state(
    client_ref_client: Client, clock: VirtualClock
) -> None:
    client = client_ref_client
    first = await client.create(client_ref="order-1", idempotency_key="k1")
    await clock.sleep(60)
    again = await client.create(MODEL, OTHER_INPUT, client_ref="order-1", idempotency_key="k2")
    assert (first.status, again.status) == (201, 200)
    assert again.json["id"] == first.json["id"]
    assert again.json["status_code"] == "succeeded"


async def test_by_client_ref_another_model_key_or_ref_creates_another_run(client_ref_client: Client) -> None:
    client = client_ref_client
    await client.create(client_ref="order-1")
    await client.create("photalabs/phota", client_ref="order-1")
    await client.create(client_ref="order-1", key="rf_live_other")
    await client.create(client_ref="order-2")
    await client.create()
    await client.create()
    assert len(client.sandbox.runs) == 6


async def test_without_idempotency_every_dispatch_creates_a_run(client_without_idempotency: Client) -> None:
    for _ in range(3):
        assert (await client_without_idempotency.create(client_ref="same", idempotency_key="k1")).status == 201
    assert len(client_without_idempotency.sandbox.runs) == 3
