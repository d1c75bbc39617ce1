"""What a handler receives besides the request: caller, revision, response channel, and the services of this process."""

from collections.abc import Callable, Mapping
from random import Random
from typing import NoReturn, Protocol

import attrs

from runflow_mcp.clock import Clock
from runflow_mcp.credentials import Bearer
from runflow_mcp.json_types import JSONObject
from runflow_mcp.methods.inflight import InFlight, PendingAnswer
from runflow_mcp.methods.listeners import Subscriptions
from runflow_mcp.observability.metrics import Metrics
from runflow_mcp.observability.record import CallRecord
from runflow_mcp.observability.run_log import RunLog
from runflow_mcp.protocol.jsonrpc import ErrorCode, Id, ProtocolError, Result
from runflow_mcp.protocol.revisions import ProtocolContext
from runflow_mcp.runflow.api.client import RunflowClient
from runflow_mcp.runflow.api.shared_reads import SharedReads
from runflow_mcp.runflow.catalog.catalog import Catalog
from runflow_mcp.runflow.catalog.skill import Skill
from runflow_mcp.runflow.dispatch.dispatcher import Dispatcher
from runflow_mcp.settings.config import Config


class ResponseChannel(Protocol):
    """The HTTP response while a handler still works on its answer."""

    #: Whether the client accepts an event stream.
    accepts_stream: bool

    async def open(self) -> None:
        """The answer will take long: keep the connection alive, with a stream if the client accepts one."""

    async def notify(self, method: str, params: JSONObject) -> None:
        """Send a notification before the answer; dropped when the client takes a single JSON body."""


@attrs.frozen
class Services:
    """The long-lived objects of one process, made once in ``app``."""

    config: Config
    clock: Clock
    random: Random
    catalog: Catalog
    skill: Skill
    client: RunflowClient
    metrics: Metrics
    runs: RunLog
    dispatcher: Dispatcher
    reads: SharedReads
    inflight: InFlight
    subscriptions: Subscriptions
    #: ``Clock.monotonic`` when the process started.
    started_at: float


def raise_server_stopping() -> NoReturn:
    """The default answer of a call that a drain interrupts."""
    message = "This server is stopping. Send the request again in a few seconds; any replica answers it."
    raise ProtocolError(ErrorCode.INTERNAL_ERROR, message)


@attrs.define(on_setattr=attrs.setters.frozen)
class RequestContext:
    """What a handler knows of one request besides its params."""

    request_id: str
    bearer: Bearer
    protocol: ProtocolContext
    #: ``Clock.monotonic`` at arrival; deadlines count from here.
    arrived: float
    #: traceparent and tracestate, sent upstream unchanged.
    trace: Mapping[str, str]
    channel: ResponseChannel
    pending_answer: PendingAnswer
    services: Services
    #: The token of progress notifications; None when the client requested none.
    progress_token: Id | None = None
    #: What the access line reports of the call; handlers set what they learn.
    record: CallRecord = attrs.field(factory=CallRecord)
    #: Answers the call when a drain interrupts its handler. A handler that has a better answer than the default sets
    #: it before it waits. It returns a result, or raises ``ProtocolError`` or ``ToolError``.
    answer_when_drained: Callable[[], Result] = attrs.field(
        default=raise_server_stopping, on_setattr=attrs.setters.NO_OP
    )
