"""A simulated Runflow that costs little itself: runs end a given time after their start, and name the moment.

A bare protocol instead of a web framework, since it shares its core with the clients. The output's URL of an ended run
has the monotonic nanoseconds at which the answer was written: ``sent/<ns>.png``.
"""

import asyncio
import math
import re
import time
from typing import Any, cast
from urllib.parse import unquote_plus

import attrs
import orjson

from runflow_mcp.sandbox import catalog
from tests.serving import MODEL

SENT = re.compile(rb"sent/(\d+)\.png")
_REF = re.compile(r"client_ref\.EQ:'([^']*)'")
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_ID = b"00000000-0000-4000-8000-%012x"
#: A run with every field that the API documents, as a poll reads it.
_RUN = {
    "id": "{id}",
    "flow_id": None,
    "model_id": "6f9d9f42-6f0c-5f3e-9a4e-0d2f6a1c7b11",
    "target_type": "model",
    "org_id": "a2cf6d5e-1f9b-4f57-8f43-0b8f6b8f2a10",
    "status_code": "{status}",
    "source_code": "api",
    "input": {"prompt": "a lighthouse at dusk"},
    "output": None,
    "context": None,
    "duration_ms": 1234,
    "cost": None,
    "cost_breakdown": None,
    "nodes_total": 4,
    "nodes_completed": 1,
    "batch_id": None,
    "client_ref": "{client_ref}",
    "request_id": "req_0123456789abcdef01234567",
    "created_at": "2026-01-01T00:00:00Z",
    "started_at": "2026-01-01T00:00:01Z",
    "completed_at": None,
    "callback_url": None,
    "metadata": None,
    "has_logs": True,
    "has_node_runs": True,
    "links": {"self": "https://api.runflow.io/v1/runs/{id}"},
    "failure_code": None,
    "failure_message": None,
    "failure_stage_code": None,
    "node_runs": [{"node": "queue", "status_code": "succeeded"}, {"node": "render", "status_code": "running"}],
    "logs": [],
}


@attrs.define
class FastUpstream:
    """``duration``: seconds that runs take which start from now on."""

    duration: float = 1.0
    polls: int = 0
    catalog: bytes = attrs.field(factory=catalog.catalog_document, repr=False)
    #: Run id → when it ends, its answer until then, and the one from then on.
    _runs: dict[bytes, tuple[float, bytes, bytes]] = attrs.field(factory=dict, repr=False)
    #: client_ref → its run, as a list shows it.
    _by_ref: dict[str, bytes] = attrs.field(factory=dict, repr=False)
    _created: int = 0
    _server: asyncio.Server | None = None

    async def start(self) -> int:
        """Listen on a free loopback port, and return it."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, backlog=16_384)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Stop listening; its clients close their connections."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def forget_runs(self, ended_before: float = math.inf) -> None:
        """Forget the runs that ended before this moment of the monotonic clock."""
        self._runs = {run_id: run for run_id, run in self._runs.items() if run[0] >= ended_before}
        self._by_ref.clear()

    def answer(self, method: bytes, path: bytes, body: bytes) -> bytes:
        """The whole response to one request."""
        if method == b"POST":
            return _response(b"201 Created", self._create(body))
        if path.startswith(b"/v1/runs/"):
            self.polls += 1
            ends, waiting, ended = self._runs[path.removeprefix(b"/v1/runs/")]
            if time.monotonic() < ends:
                return waiting
            return ended.replace(b"{sent}", b"%019d" % time.monotonic_ns())
        if path.startswith(b"/v1/runs"):
            return _response(b"200 OK", self._list(path.decode()))
        if path == b"/models-catalog.json":
            return _response(b"200 OK", self.catalog)
        return _response(b"404 Not Found", b"{}")

    def _create(self, body: bytes) -> bytes:
        self._created += 1
        run_id = _ID % self._created
        own = {"id": run_id.decode(), "client_ref": orjson.loads(body).get("client_ref")}
        links = {"self": f"https://api.runflow.io/v1/runs/{own['id']}"}
        waiting = orjson.dumps({**_RUN, **own, "links": links, "status_code": "running"})
        output = {"url": "https://cdn.example.com/sent/{sent}.png"}
        ended = orjson.dumps({**_RUN, **own, "links": links, "status_code": "succeeded", "output": output})
        # The stamp has 19 digits in the place of six characters.
        responses = _response(b"200 OK", waiting), _response(b"200 OK", ended, more=19 - len("{sent}"))
        self._runs[run_id] = (time.monotonic() + self.duration, *responses)
        if own["client_ref"]:
            self._by_ref[own["client_ref"]] = waiting
        return waiting

    def _list(self, path: str) -> bytes:
        """The runs with the client_ref of the query."""
        ref = _REF.search(unquote_plus(path))
        found = self._by_ref.get(ref[1], b"") if ref else b""
        return b'{"items":[%b],"next_pq":null,"prev_pq":null}' % found


def _renamed(entry: dict[str, Any], suffix: str) -> dict[str, Any]:
    slug = f"{entry['model_slug']}{suffix}"
    endpoint = f"/v1/models/{entry['provider_slug']}/{slug}/runs"
    return {**entry, "model_slug": slug, "runs_endpoint": endpoint}


def large_catalog(models: int) -> bytes:
    """The sandbox's catalog, repeated under other slugs until it has this many models."""
    document = orjson.loads(catalog.catalog_document())
    own = document["models"]
    document["models"] = [_renamed(own[number % len(own)], f"-{number}") for number in range(models)]
    return orjson.dumps(document)


def _response(status: bytes, body: bytes, *, more: int = 0) -> bytes:
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(body) + more) + body


class _Connection(asyncio.Protocol):
    """A keep-alive connection; requests come one after the other."""

    def __init__(self, upstream: FastUpstream) -> None:
        self._upstream = upstream
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has the methods and not the class

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end]
            length = _LENGTH.search(head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._received) < whole:
                return
            body, self._received = self._received[end + 4 : whole], self._received[whole:]
            method, path, _ = head.split(b" ", 2)
            assert self._transport is not None
            self._transport.write(self._upstream.answer(method, path, body))


#: What a call of the bench runs.
CALL = {"model": MODEL, "input": {"prompt": "a lighthouse at dusk"}}
