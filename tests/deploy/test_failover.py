"""Replicas that die behind a real nginx: no request is sent twice, and a run that was started is found again."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack

import aiohttp
import pytest

from tests.deploy.conftest import PING, Client, events, order
from tests.deploy.nginx_stack import Stack
from tests.eventually import eventually
from tests.server_process import HOST, ServerProcess
from tests.serving import KEY

pytestmark = pytest.mark.real_time

REF = "survives-its-replica"


def start(replica: ServerProcess) -> None:
    replica.start()
    replica.wait_until_ready()


@pytest.fixture(scope="module")
def stoppable(stack: Stack) -> Iterator[Stack]:
    """The stack, whose replicas the tests may stop; what is stopped is started again after the last of them."""
    yield stack
    for replica in stack.replicas:
        if replica.exit_code is not None:
            start(replica)
    eventually(stack.serves, "nginx has found the replicas again")


@pytest.fixture
def without_replicas(stoppable: Stack) -> Stack:
    """The stack without replicas."""
    for replica in stoppable.replicas:
        if replica.exit_code is None:
            replica.stop()
    return stoppable


async def test_a_run_outlives_its_replica_and_is_billed_once(stoppable: Stack, client: Client) -> None:
    first, second = stoppable.replicas
    if first.exit_code is not None:
        start(first)
        eventually(stoppable.serves, "nginx has found it")
    if second.exit_code is None:
        second.stop()
    async with client.open(order(client_ref=REF)) as response:
        progress = await anext(events(response))
        assert REF in progress["params"]["message"]
        # At once: on a busy machine the run would end while the other replica starts.
        first.stop(signal.SIGKILL)
        with pytest.raises(aiohttp.ClientError):
            await response.read()
    start(second)
    answer = await client.post(order(client_ref=REF))
    assert answer.structured["status"] == "succeeded"
    runs = f"{stoppable.sandbox.origin}/v1/runs"
    query, headers = {"q": f"client_ref.EQ:'{REF}'"}, {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession() as session, session.get(runs, params=query, headers=headers) as listing:
        (run,) = (await listing.json())["items"]
    assert answer.structured["run_id"] == run["id"]


async def test_a_post_that_one_replica_received_is_not_repeated_at_another(
    without_replicas: Stack, client: Client
) -> None:
    received = 0

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read a request and hang up."""
        nonlocal received
        await reader.readuntil(b"\r\n\r\n")
        received += 1
        writer.close()

    async with AsyncExitStack() as servers:
        for replica in without_replicas.replicas:
            await servers.enter_async_context(await asyncio.start_server(swallow, HOST, replica.port))
        answer = await client.post(PING)
    assert (answer.status, received) == (502, 1)


async def test_without_any_replica_nginx_answers_502_in_json_and_recovers_at_once(
    without_replicas: Stack, client: Client
) -> None:
    answer = await client.post(PING)
    assert answer.status == 502
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Retry-After"] == "5"
    assert answer.json["id"] is None
    assert answer.error["code"] == 502
    assert answer.error["data"] == {
        "code": "server_unavailable",
        "request_id": answer.headers["X-Request-Id"],
        "retry_after_seconds": 5,
    }
    start(without_replicas.replicas[1])
    eventually(without_replicas.serves, "one replica is enough, and is found within seconds")
