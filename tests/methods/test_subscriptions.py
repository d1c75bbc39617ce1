"""``subscriptions/listen``: a stream of notifications about changed prompts, until the client or a drain ends it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import attrs
import orjson
import pytest

from runflow_mcp.methods.listeners import MAX_PER_ADDRESS, MAX_PER_KEY, MAX_SUBSCRIPTIONS, RETRY_AFTER, Subscriptions
from runflow_mcp.protocol.jsonrpc import ProtocolError
from tests.methods.scripted_catalogs import entry, script
from tests.scripted_sandbox import Delay, Reset, Respond, Route, ScriptedSandbox
from tests.serving import BOTH, KEY, META, Serve, Server, modern

PROMPTS = {"promptsListChanged": True}
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
CHANGED = "notifications/prompts/list_changed"
SUBSCRIPTION = f"{META}subscriptionId"
NO_SOLUTION = entry("google/nano-banana-2")
SOLUTION = entry("runflow/upscale", inputs=[{"name": "image_url", "type": "image", "required": True}])
#: Seconds: the freshness of a snapshot, and the age at which the next one is fetched.
TTL, REFRESH = 100, 80


@attrs.define
class Subscriber:
    """One open stream, and what it has received: (seconds of the server's clock, message)."""

    response: aiohttp.ClientResponse
    received: list[tuple[float, Any]] = attrs.field(factory=list)
    comments: list[float] = attrs.field(factory=list)

    @property
    def methods(self) -> list[str]:
        """The methods of the notifications so far."""
        return [message["method"] for _, message in self.received if "method" in message]

    @property
    def changes(self) -> list[float]:
        """When each change was notified."""
        return [at for at, message in self.received if message.get("method") == CHANGED]

    @property
    def last(self) -> Any:
        return self.received[-1][1]

    async def listen(self, server: Server) -> None:
        """Record what arrives, until the server ends the stream."""
        async for line in self.response.content:
            if line.startswith(b"data: "):
                self.received.append((server.services.clock.monotonic(), orjson.loads(line.removeprefix(b"data: "))))
            elif line.startswith(b":"):
                assert line == b": keepalive\n"
                self.comments.append(server.services.clock.monotonic())


@asynccontextmanager
async def listening(
    server: Server,
    requested: object = PROMPTS,
    *,
    id: str | int = 1,  # noqa: A002 - the message's own word
    key: str = KEY,
    address: str | None = None,
) -> AsyncIterator[Subscriber]:
    """A subscription that has been acknowledged; leaving the context closes the stream."""
    message, headers = modern("subscriptions/listen", {"notifications": requested}, id=id)
    headers |= {"Authorization": f"Bearer {key}", "Accept": BOTH}
    if address is not None:
        headers["X-Forwarded-For"] = address
    async with server.session.post(server.url, json=message, headers=headers) as response:
        assert response.status == 200
        subscription = Subscriber(response)
        task = asyncio.create_task(subscription.listen(server))
        while not subscription.received and not task.done():
            await server.services.clock.sleep(0.01)
        try:
            yield subscription
        finally:
            task.cancel()
            await asyncio.wait([task])


def publish(sandbox: ScriptedSandbox, *entries: object) -> None:
    """Publish this catalog from the next refresh on."""
    sandbox.script.clear()
    script(sandbox, *entries)


@pytest.fixture
async def server(serve: Serve, sandbox: ScriptedSandbox) -> Server:
    """A server that has read a catalog of one Solution."""
    publish(sandbox, SOLUTION)
    made = await serve(MCP_CATALOG_TTL_MS=str(TTL * 1000))
    await made.services.clock.sleep(1)
    return made


async def refreshed(server: Server) -> None:
    """Let the next refresh of the catalog pass."""
    await server.services.clock.sleep(REFRESH)


# The beginning of a subscription


async def test_the_server_declares_notifications_of_changed_prompts_only(server: Server) -> None:
    capabilities = (await server.modern("server/discover")).result["capabilities"]
    assert capabilities["prompts"] == {"listChanged": True}
    assert "listChanged" not in capabilities["tools"]
    assert capabilities["resources"] == {}


@pytest.mark.parametrize("id_", [0, 7, "a", "7", ""], ids=repr)
async def test_a_subscription_is_acknowledged_first_under_the_id_of_its_request(server: Server, id_: str | int) -> None:
    async with listening(server, id=id_) as subscription:
        assert subscription.last == {
            "jsonrpc": "2.0",
            "method": ACKNOWLEDGED,
            "params": {"_meta": {SUBSCRIPTION: id_}, "notifications": PROMPTS},
        }
        assert type(subscription.last["params"]["_meta"][SUBSCRIPTION]) is type(id_)


async def test_a_subscription_is_an_event_stream_that_no_proxy_buffers(server: Server) -> None:
    async with listening(server) as subscription:
        assert subscription.response.content_type == "text/event-stream"
        assert subscription.response.headers["X-Accel-Buffering"] == "no"
        assert "no-cache" in subscription.response.headers["Cache-Control"]


@pytest.mark.parametrize(
    ("requested", "granted"),
    [
        ({}, {}),
        ({"promptsListChanged": False}, {}),
        ({"promptsListChanged": None}, {}),
        ({"promptsListChanged": "yes"}, {}),
        ({"toolsListChanged": True, "resourcesListChanged": True, "resourceSubscriptions": ["x:y"]}, {}),
        ({"taskIds": ["a"], "unreceivedOf": True, "promptsListChanged": True}, PROMPTS),
    ],
    ids=repr,
)
async def test_a_subscription_is_acknowledged_with_the_notifications_that_will_come(
    server: Server, requested: dict[str, object], granted: dict[str, bool]
) -> None:
    async with listening(server, requested) as subscription:
        assert subscription.last["params"]["notifications"] == granted


@pytest.mark.parametrize(
    "params", [{}, {"notifications": None}, {"notifications": []}, {"notifications": "all"}], ids=repr
)
async def test_a_subscription_without_a_filter_is_invalid_params(server: Server, params: dict[str, object]) -> None:
    answer = await server.modern("subscriptions/listen", params)
    assert answer.error["code"] == -32602
    assert "notifications" in answer.error["message"]
    assert len(server.services.subscriptions) == 0


@pytest.mark.parametrize("accept", [None, "application/json", "*/*", "text/event-stream;q=0, application/json"])
async def test_a_subscriber_must_accept_event_streams(server: Server, accept: str | None) -> None:
    answer = await server.modern("subscriptions/listen", {"notifications": PROMPTS}, accept=accept)
    assert (answer.status, answer.error["code"]) == (400, -32600)
    assert "text/event-stream" in answer.error["message"]
    assert len(server.services.subscriptions) == 0


async def test_the_legacy_era_has_no_subscriptions(server: Server) -> None:
    answer = await server.rpc("subscriptions/listen", {"notifications": PROMPTS}, accept=BOTH)
    assert (answer.status, answer.error["code"]) == (200, -32601)


# What is notified


async def test_changed_prompts_are_notified_when_the_catalog_is_refreshed(
    server: Server, sandbox: ScriptedSandbox
) -> None:
    async with listening(server, id="mine") as subscription:
        publish(sandbox, SOLUTION, entry("runflow/headshots"))
        await refreshed(server)
        assert subscription.changes == pytest.approx([REFRESH], abs=1)
        notification = subscription.last
        assert notification == {"jsonrpc": "2.0", "method": CHANGED, "params": {"_meta": {SUBSCRIPTION: "mine"}}}
        listed = (await server.modern("prompts/list")).result["prompts"]
    assert [prompt["name"] for prompt in listed] == ["upscale", "headshots"]


@pytest.mark.parametrize(
    "entries",
    [
        [NO_SOLUTION],
        [SOLUTION | {"model_slug": "enlarge"}],
        [SOLUTION | {"model_name": "Upscale"}],
        [SOLUTION | {"description": "Makes it larger."}],
        [SOLUTION | {"inputs": []}],
        [SOLUTION | {"is_active": False}, NO_SOLUTION],
        [entry("runflow/headshots"), SOLUTION],
    ],
    ids=["none", "renamed", "titled", "described", "without inputs", "inactive", "one more"],
)
async def test_a_change_of_anything_that_prompts_list_shows_is_notified(
    server: Server, sandbox: ScriptedSandbox, entries: list[object]
) -> None:
    async with listening(server) as subscription:
        publish(sandbox, *entries)
        await refreshed(server)
        assert subscription.methods == [ACKNOWLEDGED, CHANGED]


@pytest.mark.parametrize(
    "entries",
    [
        [SOLUTION],
        [SOLUTION | {"pricing": "$1"}],
        [SOLUTION, entry("google/nano-banana-2")],
        [SOLUTION, {"nonsense": True}],
        [SOLUTION, entry("runflow/asleep", is_active=False)],
    ],
    ids=["same", "priced", "another model", "a bad entry", "an inactive one"],
)
async def test_another_catalog_with_the_same_prompts_is_not_notified(
    server: Server, sandbox: ScriptedSandbox, entries: list[object]
) -> None:
    before = server.services.catalog.current
    async with listening(server) as subscription:
        publish(sandbox, *entries)
        await refreshed(server)
        assert server.services.catalog.current is not before
        await refreshed(server)
        assert subscription.methods == [ACKNOWLEDGED]


@pytest.mark.parametrize("action", [Respond(503), Respond(200, b"<html>"), Reset()], ids=["503", "html", "reset"])
async def test_an_unavailable_catalog_is_not_notified(
    server: Server, sandbox: ScriptedSandbox, action: Respond | Reset
) -> None:
    async with listening(server) as subscription:
        sandbox.script.clear()
        sandbox.script.add(Route.CATALOG, action, times=None)
        await server.services.clock.sleep(10 * TTL)
        assert subscription.methods == [ACKNOWLEDGED]
        publish(sandbox, entry("runflow/headshots"))
        await server.services.clock.sleep(TTL)
        assert subscription.methods == [ACKNOWLEDGED, CHANGED]


async def test_the_first_catalog_is_notified_as_a_change(serve: Serve, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.CATALOG, Delay(20))
    server = await serve()
    async with listening(server) as subscription:
        await server.services.clock.sleep(25)
        assert subscription.changes == pytest.approx([20], abs=1)


async def test_each_change_is_notified_once(server: Server, sandbox: ScriptedSandbox) -> None:
    async with listening(server) as subscription:
        for name in ("a", "b", "b", "a"):
            publish(sandbox, entry(f"runflow/{name}"))
            await refreshed(server)
        assert subscription.changes == pytest.approx([REFRESH, 2 * REFRESH, 4 * REFRESH], abs=1)


async def test_every_subscriber_is_notified_under_its_own_id(server: Server, sandbox: ScriptedSandbox) -> None:
    keys = [KEY, KEY, "rf_live_somebody_else"]
    async with AsyncExitStack() as stack:
        subscriptions = [
            await stack.enter_async_context(listening(server, id=number, key=key)) for number, key in enumerate(keys)
        ]
        publish(sandbox, NO_SOLUTION)
        await refreshed(server)
        assert [subscription.methods for subscription in subscriptions] == [[ACKNOWLEDGED, CHANGED]] * 3
        assert [subscription.last["params"]["_meta"][SUBSCRIPTION] for subscription in subscriptions] == [0, 1, 2]


@pytest.mark.parametrize("requested", [{}, {"toolsListChanged": True}], ids=repr)
async def test_a_notification_that_was_not_requested_is_not_sent(
    server: Server, sandbox: ScriptedSandbox, requested: dict[str, bool]
) -> None:
    async with listening(server, requested) as subscription:
        publish(sandbox, NO_SOLUTION)
        await refreshed(server)
        assert subscription.methods == [ACKNOWLEDGED]


async def test_nothing_of_other_requests_comes_on_the_stream(server: Server) -> None:
    async with listening(server) as subscription:
        await server.modern("tools/list")
        answer = await server.generate(token=1, accept=BOTH)
        assert answer.progress
        assert subscription.methods == [ACKNOWLEDGED]


async def test_a_quiet_subscription_has_a_comment_every_15_seconds(server: Server, sandbox: ScriptedSandbox) -> None:
    async with listening(server) as subscription:
        opened = subscription.received[0][0]
        await server.services.clock.sleep(64)
        assert [at - opened for at in subscription.comments] == pytest.approx([15, 30, 45, 60], abs=0.1)
        publish(sandbox, NO_SOLUTION)
        await refreshed(server)
        [changed] = subscription.changes
        assert not any(changed < at < changed + 14.9 for at in subscription.comments)  # silence begins anew


async def test_a_subscription_outlives_the_time_limit_of_a_wait(server: Server, sandbox: ScriptedSandbox) -> None:
    async with listening(server) as subscription:
        await server.services.clock.sleep(3600)
        publish(sandbox, NO_SOLUTION)
        await refreshed(server)
        assert subscription.methods == [ACKNOWLEDGED, CHANGED]


# Limits


async def test_the_subscriptions_of_one_key_are_limited(server: Server) -> None:
    async with AsyncExitStack() as stack:
        for number in range(MAX_PER_KEY):
            await stack.enter_async_context(listening(server, id=number))
        answer = await server.modern("subscriptions/listen", {"notifications": PROMPTS})
        assert not answer.is_stream
        assert answer.json["id"] == 1
        assert (answer.status, answer.error["code"]) == (429, 429)
        assert answer.error["data"] == {"code": "rate_limited", "retry_after_seconds": RETRY_AFTER}
        assert f"with this API key ({MAX_PER_KEY})" in answer.error["message"]
        assert "call prompts/list again" in answer.error["message"]
        await stack.enter_async_context(listening(server, key="rf_live_somebody_else"))
        assert len(server.services.subscriptions) == MAX_PER_KEY + 1
        # Everything else goes on.
        assert (await server.modern("prompts/list")).result["prompts"]
        assert (await server.generate()).structured["status"] == "succeeded"


async def test_a_released_subscription_makes_room_for_another(server: Server) -> None:
    async with AsyncExitStack() as stack:
        for number in range(MAX_PER_KEY - 1):
            await stack.enter_async_context(listening(server, id=number))
        for _ in range(3):
            async with listening(server):
                assert len(server.services.subscriptions) == MAX_PER_KEY
            await server.services.clock.sleep(0.1)


def test_the_subscriptions_of_a_process_are_limited() -> None:
    subscriptions = Subscriptions()
    contexts = [
        subscriptions.subscribe(f"key {number // MAX_PER_KEY}", f"address {number // MAX_PER_ADDRESS}")
        for number in range(MAX_SUBSCRIPTIONS)
    ]
    for context in contexts:
        context.__enter__()
    with pytest.raises(ProtocolError, match="of this server"), subscriptions.subscribe("a newcomer", "elsewhere"):
        pass
    contexts.pop().__exit__(None, None, None)
    with subscriptions.subscribe("a newcomer", "elsewhere"):
        assert len(subscriptions) == MAX_SUBSCRIPTIONS
    for context in contexts:
        context.__exit__(None, None, None)
    assert len(subscriptions) == 0


async def test_invented_keys_share_the_limit_of_their_address(serve: Serve) -> None:
    server = await serve(MCP_TRUSTED_PROXIES="127.0.0.1/32", MCP_RATE_LIMIT_PER_IP="1000")
    async with AsyncExitStack() as stack:
        for number in range(MAX_PER_ADDRESS):
            key = f"rf_live_invented_{number // MAX_PER_KEY}"
            await stack.enter_async_context(listening(server, id=number, key=key, address="198.51.100.1"))
        params = {"notifications": PROMPTS}
        refused = await server.modern(
            "subscriptions/listen", params, key="rf_live_one_more", headers={"X-Forwarded-For": "198.51.100.1"}
        )
        assert (refused.status, refused.error["code"]) == (429, 429)
        assert f"from your address ({MAX_PER_ADDRESS})" in refused.error["message"]
        async with listening(server, address="198.51.100.2") as subscription:
            assert subscription.methods == [ACKNOWLEDGED]


def test_the_counts_of_closed_subscriptions_are_removed() -> None:
    subscriptions = Subscriptions()
    with subscriptions.subscribe("a key", "an address"):
        assert len(subscriptions) == 1
    assert repr(subscriptions) == repr(Subscriptions())


async def test_a_subscription_takes_no_slot_of_a_waiting_generate(serve: Serve) -> None:
    server = await serve(MCP_MAX_WAITS="1")
    async with listening(server):
        assert (await server.generate()).structured["status"] == "succeeded"


# The end of a subscription


async def test_a_client_that_leaves_releases_its_subscription(server: Server, sandbox: ScriptedSandbox) -> None:
    async with listening(server, id=1), listening(server, id=2) as staying:
        async with listening(server, id=3):
            assert len(server.services.subscriptions) == 3
        await server.services.clock.sleep(0.1)
        assert len(server.services.subscriptions) == 2
        publish(sandbox, NO_SOLUTION)
        await refreshed(server)
        assert staying.methods == [ACKNOWLEDGED, CHANGED]


async def test_a_drain_ends_a_subscription_with_a_complete_result(server: Server) -> None:
    async with listening(server, id="mine") as subscription:
        server.services.subscriptions.drain()
        await server.services.clock.sleep(0.1)
        assert subscription.methods == [ACKNOWLEDGED]
        assert subscription.last["id"] == "mine"
        assert subscription.last["result"]["resultType"] == "complete"
        assert subscription.last["result"]["_meta"][SUBSCRIPTION] == "mine"
        assert subscription.last["result"]["_meta"][f"{META}serverInfo"]["name"] == "Runflow"
        assert subscription.response.content.at_eof()
        assert len(server.services.subscriptions) == 0


async def test_a_drain_ends_all_subscriptions_and_every_new_one_at_once(server: Server) -> None:
    async with listening(server, id=1) as one, listening(server, {}, id=2, key="rf_live_somebody_else") as other:
        server.services.subscriptions.drain()
        await server.services.clock.sleep(0.1)
        assert (one.last["id"], other.last["id"]) == (1, 2)
    late = await server.modern("subscriptions/listen", {"notifications": PROMPTS}, id=3)
    acknowledged, ended = late.events
    assert acknowledged["method"] == ACKNOWLEDGED
    assert (ended["id"], ended["result"]["resultType"]) == (3, "complete")
    assert len(server.services.subscriptions) == 0


async def test_a_subscription_does_not_delay_a_drain(server: Server) -> None:
    async with listening(server):
        server.services.inflight.drain(server.services.clock.monotonic() + 8)
        assert server.services.inflight.pending_answers == 0


async def test_a_cancelled_notification_ends_nothing(server: Server) -> None:
    """In this era the notification is for stdio only: over HTTP the client closes the stream."""
    message, headers = modern("notifications/cancelled", {"requestId": 1})
    del message["id"]
    async with listening(server, id=1):
        answer = await server.post(message, headers=headers)
        assert (answer.status, answer.content) == (202, b"")
        await server.services.clock.sleep(1)
        assert len(server.services.subscriptions) == 1
