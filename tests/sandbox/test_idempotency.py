"""The three rules for repeated dispatches."""

from tests.sandbox.client import MODEL, Client
from tests.virtual_time import VirtualClock

OTHER = {"prompt": "something else"}


async def test_the_same_key_and_body_replay_the_first_answer(client: Client, clock: VirtualClock) -> None:
    first = await client.create(idempotency_key="k1")
    await clock.sleep(60)
    again = await client.create(idempotency_key="k1")
    assert (again.status, again.content) == (201, first.content)
    assert len(client.sandbox.runs) == 1


async def test_the_same_key_with_another_body_or_model_is_a_conflict(client: Client) -> None:
    await client.create(idempotency_key="k1")
    for model, values, fields in (
        (MODEL, OTHER, {}),
        ("photalabs/phota", None, {}),
        (MODEL, None, {"client_ref": "new"}),
    ):
        reply = await client.create(model, values, idempotency_key="k1", **fields)
        assert reply.refusal == (409, "CONFLICT")
    assert len(client.sandbox.runs) == 1


async def test_without_a_key_every_dispatch_is_a_run(client: Client) -> None:
    assert {(await client.create(client_ref="same")).status for _ in range(3)} == {201}
    assert len({run.id for run in client.sandbox.runs.with_client_ref("same")}) == 3


async def test_keys_of_two_organisations_do_not_meet(client: Client) -> None:
    await client.create(idempotency_key="k1", key="rf_live_a")
    assert (await client.create(MODEL, OTHER, idempotency_key="k1", key="rf_live_b")).status == 201


async def test_a_refused_dispatch_does_not_use_up_its_key(client: Client) -> None:
    assert (await client.create(MODEL, {}, idempotency_key="k1")).status == 422
    assert (await client.create(idempotency_key="k1")).status == 201


async def test_by_client_ref_the_existing_run_comes_back_as_it_is_now(
    client_ref_client: Client, clock: VirtualClock
) -> None:
    client = client_ref_client
    first = await client.create(client_ref="order-1", idempotency_key="k1")
    await clock.sleep(60)
    again = await client.create(MODEL, OTHER, client_ref="order-1", idempotency_key="k2")
    assert (first.status, again.status) == (201, 200)
    assert again.json["id"] == first.json["id"]
    assert again.json["status_code"] == "succeeded"


async def test_by_client_ref_another_model_key_or_ref_is_another_run(client_ref_client: Client) -> None:
    client = client_ref_client
    await client.create(client_ref="order-1")
    await client.create("photalabs/phota", client_ref="order-1")
    await client.create(client_ref="order-1", key="rf_live_other")
    await client.create(client_ref="order-2")
    await client.create()
    await client.create()
    assert len(client.sandbox.runs) == 6


async def test_without_idempotency_every_dispatch_is_a_run(forgetful_client: Client) -> None:
    for _ in range(3):
        assert (await forgetful_client.create(client_ref="same", idempotency_key="k1")).status == 201
    assert len(forgetful_client.sandbox.runs) == 3
