"""Every metric: its name, kind, labels and buckets, and how values of several processes are merged. Pure.

The names are a promise to dashboards; ``deploy/README.md`` explains them, and a test compares it with this table.
"""

from collections.abc import Callable
from enum import Enum

import attrs


class Kind(Enum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@attrs.frozen
class Metric:
    """``buckets``: upper bounds of a histogram, without infinity. ``merge``: a gauge's values in several processes."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    merge: Callable[[list[float]], float] = sum

    @property
    def size(self) -> int:
        """Numbers in one series: a histogram has its sum, one count for each bucket, and one for what is larger."""
        return len(self.buckets) + 2 if self.kind is Kind.HISTOGRAM else 1


#: OpenTelemetry's buckets for MCP, with finer ones below and one for the longest wait above. Seconds.
_OPERATION_BUCKETS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600)
_UPSTREAM_BUCKETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
_LAG_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)

OPERATIONS = Metric(
    "mcp_server_operation_duration_seconds",
    Kind.HISTOGRAM,
    "JSON-RPC requests and notifications, from their arrival to their answer.",
    ("mcp_method_name", "gen_ai_tool_name", "error_type", "mcp_protocol_version"),
    _OPERATION_BUCKETS,
)
REJECTIONS = Metric(
    "runflow_mcp_rejections_total", Kind.COUNTER, "HTTP requests rejected before a handler ran.", ("code",)
)
CLIENT_REQUESTS = Metric(
    "runflow_mcp_client_requests_total",
    Kind.COUNTER,
    "JSON-RPC requests and notifications by the client that names itself in them.",
    ("client", "mcp_protocol_version"),
)
WAITS = Metric("runflow_mcp_waits", Kind.GAUGE, "Waiting generate calls, each until its answer is read.")
SUBSCRIPTIONS = Metric("runflow_mcp_subscriptions", Kind.GAUGE, "Open subscriptions.")
UNREAD_BYTES = Metric("runflow_mcp_unread_bytes", Kind.GAUGE, "Bytes of answers that clients have not read yet.")
RUNS = Metric(
    "runflow_mcp_runs_total",
    Kind.COUNTER,
    "Runs started and found, runs whose end this process saw, and waits that ended before their run (left).",
    ("event", "provider"),
)
RUN_COST = Metric(
    "runflow_mcp_run_cost_usd_total", Kind.COUNTER, "Cost of the runs whose end this process saw.", ("provider",)
)
UPSTREAM = Metric(
    "runflow_mcp_upstream_request_duration_seconds",
    Kind.HISTOGRAM,
    "Requests to Runflow.",
    ("operation", "outcome"),
    _UPSTREAM_BUCKETS,
)
UPSTREAM_RETRIES = Metric(
    "runflow_mcp_upstream_retries_total", Kind.COUNTER, "Requests to Runflow that were repeated.", ("operation",)
)
CATALOG_AGE = Metric(
    "runflow_mcp_catalog_age_seconds",
    Kind.GAUGE,
    "Time since the catalog was last confirmed; absent until there is one.",
    merge=max,
)
CATALOG_MODELS = Metric(
    "runflow_mcp_catalog_models", Kind.GAUGE, "Active models of the catalog; 0 until there is one.", merge=min
)
CATALOG_REFRESHES = Metric(
    "runflow_mcp_catalog_refreshes_total", Kind.COUNTER, "Attempts to refresh the catalog.", ("result",)
)
LIMIT_STORE_UP = Metric(
    "runflow_mcp_limit_store_up",
    Kind.GAUGE,
    "Whether the store of the rate limits works: 0 while a process counts by itself instead.",
    merge=min,
)
LIMIT_STORE_FALLBACKS = Metric(
    "runflow_mcp_limit_store_fallbacks_total",
    Kind.COUNTER,
    "Requests counted by a process itself because the store did not answer.",
)
LOOP_LAG = Metric(
    "runflow_mcp_event_loop_lag_seconds",
    Kind.HISTOGRAM,
    "How late the event loop ran a timer, measured four times a second.",
    buckets=_LAG_BUCKETS,
)

METRICS = (
    OPERATIONS,
    REJECTIONS,
    CLIENT_REQUESTS,
    WAITS,
    SUBSCRIPTIONS,
    UNREAD_BYTES,
    RUNS,
    RUN_COST,
    UPSTREAM,
    UPSTREAM_RETRIES,
    CATALOG_AGE,
    CATALOG_MODELS,
    CATALOG_REFRESHES,
    LIMIT_STORE_UP,
    LIMIT_STORE_FALLBACKS,
    LOOP_LAG,
)
BY_NAME = {metric.name: metric for metric in METRICS}
