"""What a handler is given beside the request: who calls, in which revision, and the services of this process."""

from collections.abc import Mapping
from random import Random
from typing import Protocol

import attrs

from runflow_mcp.clock import Clock
from runflow_mcp.credentials import Bearer
from runflow_mcp.json_types import JSONObject
from runflow_mcp.methods.inflight import InFlight, PendingAnswer
from runflow_mcp.methods.listeners import Subscriptions
from runflow_mcp.observability.record import CallRecord
from runflow_mcp.protocol.jsonrpc import Id
from runflow_mcp.protocol.revisions import ProtocolContext
from runflow_mcp.runflow.api.client import RunflowClient
from runflow_mcp.runflow.api.shared_reads import SharedReads
from runflow_mcp.runflow.catalog.catalog import Catalog
from runflow_mcp.runflow.catalog.skill import Skill
from runflow_mcp.runflow.dispatch.dispatcher import Dispatcher
from runflow_mcp.settings.config import Config


class ResponseChannel(Protocol):
    """The way back to the client while its answer is still being made."""

    #: Whether the client takes an event stream.
    streams: bool

    async def open(self) -> None:
        """The answer will take long: keep the way open from now on, as the client's Accept allows."""

    async def notify(self, method: str, params: JSONObject) -> None:
        """Send a notification ahead of the answer; dropped where the client takes a single JSON body."""


@attrs.frozen
class Services:
    """What one process has running, made once in ``app``."""

    config: Config
    clock: Clock
    random: Random
    catalog: Catalog
    skill: Skill
    client: RunflowClient
    dispatcher: Dispatcher
    reads: SharedReads
    inflight: InFlight
    subscriptions: Subscriptions
    #: ``Clock.monotonic`` when the process came up.
    started_at: float


@attrs.frozen
class RequestContext:
    """The circumstances of one request."""

    request_id: str
    bearer: Bearer
    protocol: ProtocolContext
    #: ``Clock.monotonic`` at arrival; deadlines count from here.
    arrived: float
    #: traceparent and tracestate, to go upstream as they came.
    trace: Mapping[str, str]
    channel: ResponseChannel
    pending_answer: PendingAnswer
    services: Services
    #: What the access line reports of this request; methods fill in what they learn.
    record: CallRecord
    #: Where the client wants progress told, if it does.
    progress_token: Id | None = None
