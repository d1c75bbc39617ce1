"""Keys that Runflow has not accepted: how many an address may try, by any method."""

import asyncio
import contextlib
from collections import Counter
from typing import Any

import attrs
import pytest

from runflow_mcp.credentials import Bearer
from runflow_mcp.ratelimit.accepted import MAX_ACCEPTED, AcceptedKeys
from runflow_mcp.runflow.api.errors import Outcome, UpstreamError
from runflow_mcp.runflow.api.key_trials import KeyTrials
from tests.methods import recorded_requests
from tests.scripted_sandbox import Delay, Respond, Route, ScriptedSandbox
from tests.serving import KEY, TASKS, Serve, Server
from tests.serving import Answer as Given

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
BEHIND_A_PROXY = {"MCP_TRUSTED_PROXIES": "127.0.0.1/32", "MCP_RATE_LIMIT_PER_IP": "10000"}
LIMIT = 30
HERE, ELSEWHERE = "198.51.100.1", "198.51.100.2"


@pytest.fixture
async def server(serve: Serve) -> Server:
    return await serve(**BEHIND_A_PROXY)


def invented(number: int) -> str:
    return f"rf_live_invented_{number:06}"


def outcome(answer: Given) -> str:
    """The code of a rejection, of a tool error or of a protocol error, or ``ok``."""
    if answer.status == 429:
        return str(answer.error["data"]["code"])
    if "error" in answer.message:
        return str(answer.error["code"])
    return str(answer.tool_error["code"]) if answer.result.get("isError") else "ok"


async def generate(server: Server, key: str, address: str = HERE, **arguments: Any) -> str:
    return outcome(await server.generate(key=key, headers={"X-Forwarded-For": address}, **arguments))


async def look_up(server: Server, key: str) -> str:
    return await generate(server, key, client_ref="a-run", wait=False)


async def start(server: Server, key: str) -> str:
    return await generate(server, key, wait=False)


async def task(server: Server, key: str) -> str:
    headers = {"X-Forwarded-For": HERE}
    return outcome(await server.modern("tasks/get", {"taskId": "run_1"}, extensions=(TASKS,), key=key, headers=headers))


async def ping(server: Server, key: str | None, address: str = HERE) -> int:
    return (await server.post(PING, key=key, headers={"X-Forwarded-For": address})).status


def keys_sent(sandbox: ScriptedSandbox) -> int:
    """Distinct keys that reached Runflow."""
    return len({request.key for request in recorded_requests.caller_requests(sandbox)})


def reject(sandbox: ScriptedSandbox, after: float = 0.0) -> None:
    """Runflow knows none of the keys, and says so after so many seconds."""
    for route in (Route.CREATE, Route.LIST_RUNS, Route.GET_RUN):
        sandbox.script.add(route, Respond(401, b'{"detail":"no such key"}', after=after), times=None)


@pytest.mark.parametrize("way", [start, look_up, task])
async def test_an_address_may_try_thirty_keys_a_minute_and_no_more(
    server: Server, sandbox: ScriptedSandbox, way: Any
) -> None:
    reject(sandbox)
    outcomes = Counter([await way(server, invented(number)) for number in range(50)])
    [refused_by_runflow] = outcomes.keys() - {"rate_limited"}
    assert outcomes == {refused_by_runflow: LIMIT, "rate_limited": 20}
    assert keys_sent(sandbox) == LIMIT
    # Before the handler, so that no other method says more.
    assert await ping(server, invented(99)) == 429
    # Those that bring no key have used up the same window.
    assert await ping(server, None) == 429
    assert await ping(server, invented(99), ELSEWHERE) == 200
    await server.services.clock.sleep(61)
    assert await way(server, invented(100)) == refused_by_runflow


async def test_keys_tried_at_the_same_moment_do_not_exceed_the_limit(server: Server, sandbox: ScriptedSandbox) -> None:
    reject(sandbox, after=0.4)
    outcomes = Counter(await asyncio.gather(*(start(server, invented(number)) for number in range(100))))
    assert outcomes == {"unauthorized": LIMIT, "rate_limited": 70}
    assert keys_sent(sandbox) == LIMIT


async def test_keys_of_clients_that_leave_at_once_are_counted(server: Server, sandbox: ScriptedSandbox) -> None:
    reject(sandbox, after=1)
    for way in (start, look_up, task):
        calls = [asyncio.create_task(way(server, f"rf_live_{way.__name__}_{number}")) for number in range(20)]
        await server.services.clock.sleep(0.5)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    await server.services.clock.sleep(5)
    assert keys_sent(sandbox) <= LIMIT
    assert await ping(server, invented(0)) == 429


async def test_an_accepted_key_keeps_working_when_others_are_limited(server: Server, sandbox: ScriptedSandbox) -> None:
    assert await start(server, KEY) == "ok"
    reject(sandbox)
    for number in range(LIMIT):
        await start(server, invented(number))
    sandbox.script.clear()
    assert await ping(server, "rf_live_not_seen_yet") == 429
    assert await ping(server, KEY) == 200
    assert await generate(server, KEY) == "ok"


async def test_a_client_without_a_key_does_not_block_new_keys_of_its_address(server: Server) -> None:
    assert Counter([await ping(server, None) for _ in range(40)]) == {401: LIMIT, 429: 10}
    assert await start(server, KEY) == "ok"


async def test_a_key_that_is_revoked_counts_again(server: Server, sandbox: ScriptedSandbox) -> None:
    assert await start(server, KEY) == "ok"
    reject(sandbox)
    assert Counter([await start(server, KEY) for _ in range(40)]) == {"unauthorized": LIMIT, "rate_limited": 10}


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_an_answer_that_does_not_show_whether_the_key_is_valid_is_not_counted(
    server: Server, sandbox: ScriptedSandbox, status: int
) -> None:
    for route in (Route.CREATE, Route.LIST_RUNS):
        sandbox.script.add(route, Respond(status), times=None)
    await start(server, invented(1))
    sandbox.script.clear()
    reject(sandbox)
    for number in range(LIMIT):
        assert await start(server, invented(number + 10)) == "unauthorized"
    assert await ping(server, invented(1)) == 429


@pytest.mark.parametrize("status", [402, 403, 404, 422])
async def test_a_refusal_other_than_401_means_that_the_key_is_valid(
    server: Server, sandbox: ScriptedSandbox, status: int
) -> None:
    sandbox.script.add(Route.CREATE, Respond(status), times=1)
    await start(server, invented(1))
    reject(sandbox)
    for number in range(LIMIT):
        await start(server, invented(number + 10))
    assert await ping(server, invented(1)) == 200


async def test_many_new_customers_of_one_address_are_all_served(server: Server, sandbox: ScriptedSandbox) -> None:
    """Runflow takes a moment to say that it knows them; until then they might as well be invented."""
    sandbox.script.add(Route.CREATE, Delay(0.3), times=None)
    outcomes = await asyncio.gather(*(start(server, f"rf_live_customer_{number}") for number in range(50)))
    assert Counter(outcomes) == {"ok": 50}
    assert Counter([await ping(server, f"rf_live_customer_{number}") for number in range(50)]) == {200: 50}


@attrs.frozen
class RecordedLimits:
    """Limits that know no key, let every key be tried, and keep what is reported of them."""

    reports: list[str] = attrs.field(factory=list)

    def is_accepted(self, _bearer: Bearer) -> bool:
        return False

    async def may_try_keys(self, _address: str, _keys: int) -> bool:
        return True

    def key_accepted(self, _bearer: Bearer) -> None:
        self.reports.append("accepted")

    async def key_rejected(self, _bearer: Bearer) -> None:
        self.reports.append("rejected")


@pytest.mark.parametrize(
    ("error", "reports"),
    [
        (None, ["accepted"]),
        ({"status": 200}, ["accepted"]),
        ({"answered": True}, ["accepted"]),
        ({"status": 303}, ["accepted"]),
        ({"status": 422}, ["accepted"]),
        ({"status": 401}, ["rejected"]),
        ({"status": 429}, []),
        ({"status": 503}, []),
        ({"problem": "read_timeout"}, []),
    ],
)
async def test_every_answer_is_reported_as_far_as_it_shows_whether_the_key_is_valid(
    error: dict[str, Any] | None, reports: list[str]
) -> None:
    async def exchange() -> object:
        if error is not None:
            raise UpstreamError(Outcome.UNKNOWN, "/v1/runs", "reason", **error)
        return {}

    limits = RecordedLimits()
    with contextlib.suppress(UpstreamError):
        await KeyTrials(limits).run(Bearer(KEY), "/v1/runs", exchange)
    assert limits.reports == reports


def test_the_memory_of_accepted_keys_is_bounded_and_forgets_the_oldest() -> None:
    accepted = AcceptedKeys()
    for number in range(MAX_ACCEPTED):
        accepted.add(str(number))
    accepted.add("0")
    accepted.add("one more")
    assert len(accepted) == MAX_ACCEPTED
    assert [name in accepted for name in ("0", "1", "2", "one more")] == [True, False, True, True]
    accepted.discard("0")
    accepted.discard("0")
    assert "0" not in accepted
