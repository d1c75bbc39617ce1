"""The metrics of a process as numbers in its ``MetricMemory``; every label has a bounded number of values. Pure."""

from bisect import bisect_left
from collections.abc import Iterable
from typing import ClassVar

import attrs

from runflow_mcp.errors import RejectionCode, ToolErrorCode
from runflow_mcp.observability import definitions
from runflow_mcp.observability.client_names import client_label
from runflow_mcp.observability.definitions import Metric
from runflow_mcp.observability.metric_memory import MetricMemory
from runflow_mcp.observability.metrics import Gauges, Metrics, Operation, Refresh, RunEvent
from runflow_mcp.observability.record import CLIENT_GONE, CallRecord, jsonrpc_outcome
from runflow_mcp.protocol.jsonrpc import ErrorCode

#: The label of whatever is not in a fixed list.
OTHER = "other"
#: Providers of a catalog with labels of their own; Runflow has about ten.
MAX_PROVIDERS = 100
_REJECTIONS = frozenset(code.value for code in RejectionCode)
_ERROR_TYPES = frozenset(
    {code.value for code in ToolErrorCode} | {jsonrpc_outcome(code) for code in ErrorCode} | {CLIENT_GONE}
)
_OPERATIONS: tuple[Operation, ...] = (
    "create_run",
    "get_run",
    "find_run",
    "create_upload",
    "confirm_upload",
    "get_balance",
    "catalog",
    "skill",
)
_REFRESHES: tuple[Refresh, ...] = ("updated", "unchanged", "failed")

Labels = tuple[str, ...]
#: Method, tool, error code, revision and client of a record.
CallKey = tuple[str | None, str | None, str | None, str | None, str]


class Family:
    """The series of one metric in this process, each made when it is first used."""

    def __init__(self, memory: MetricMemory, metric: Metric) -> None:
        self._memory = memory
        self._metric = metric
        self._series: dict[Labels, memoryview[float]] = {}

    def series(self, *labels: str) -> "memoryview[float]":
        found = self._series.get(labels)
        if found is None:
            found = self._series[labels] = self._memory.add(self._metric.name, labels, self._metric.size)
        return found

    def count(self, *labels: str, amount: float = 1.0) -> None:
        self.series(*labels)[0] += amount

    def set(self, value: float) -> None:
        self.series()[0] = value

    def observe(self, value: float, *labels: str) -> None:
        observe(self.series(*labels), self._metric.buckets, value)


def observe(series: "memoryview[float]", buckets: tuple[float, ...], value: float) -> None:
    """Add a value to a histogram."""
    series[0] += value
    series[1 + bisect_left(buckets, value)] += 1


@attrs.define
class CountingMetrics(Metrics):
    """Counts into ``memory``, which ``exposition`` reads, in this process or in another."""

    recording: ClassVar[bool] = True

    memory: MetricMemory
    _providers: frozenset[str] = frozenset()
    _families: dict[Metric, Family] = attrs.field(init=False, repr=False)
    #: The two series of an answered message, by the members of its record: one look-up for each request.
    _calls: dict[CallKey, tuple["memoryview[float]", "memoryview[float]"]] = attrs.field(factory=dict, repr=False)

    def __attrs_post_init__(self) -> None:
        self._families = {metric: Family(self.memory, metric) for metric in definitions.METRICS}
        # At 0 from the start: for Prometheus the first event is then an increase, and not a new series.
        for code in RejectionCode:
            self._families[definitions.REJECTIONS].series(code.value)
        for operation in _OPERATIONS:
            self._families[definitions.UPSTREAM_RETRIES].series(operation)
        for result in _REFRESHES:
            self._families[definitions.CATALOG_REFRESHES].series(result)
        self._families[definitions.LIMIT_STORE_FALLBACKS].series()

    def call(self, record: CallRecord, seconds: float) -> None:
        # A method that is in no table is recorded as "unknown", a tool that does not exist not at all.
        key = (record.method, record.tool, record.error_code, record.revision, client_label(record.client) or OTHER)
        series = self._calls.get(key)
        if series is None:
            if record.method is None and (record.error_code is None or not record.error_code.startswith("jsonrpc_")):
                if record.error_code in _REJECTIONS:
                    self._families[definitions.REJECTIONS].count(record.error_code)
                return
            series = self._call_series(key)
        duration, requests = series
        observe(duration, definitions.OPERATIONS.buckets, seconds)
        requests[0] += 1

    def _call_series(self, key: CallKey) -> tuple["memoryview[float]", "memoryview[float]"]:
        method, tool, error, revision, client = key
        known_error = error is None or error in _ERROR_TYPES
        series = (
            self._families[definitions.OPERATIONS].series(
                method or "", tool or "", (error or "") if known_error else OTHER, revision or ""
            ),
            self._families[definitions.CLIENT_REQUESTS].series(client, revision or ""),
        )
        if known_error:  # others are texts that Runflow can choose freely, and are not kept
            self._calls[key] = series
        return series

    def rejection(self, code: str) -> None:
        self._families[definitions.REJECTIONS].count(code)

    def run(self, event: RunEvent, model: str | None, *, cost: float = 0.0) -> None:
        provider = (model or "").partition("/")[0].lower()
        label = provider if provider in self._providers else OTHER
        self._families[definitions.RUNS].count(event, label)
        if cost > 0:
            self._families[definitions.RUN_COST].count(label, amount=cost)

    def upstream_request(self, operation: Operation, outcome: str, seconds: float) -> None:
        self._families[definitions.UPSTREAM].observe(seconds, operation, outcome)

    def upstream_retry(self, operation: Operation) -> None:
        self._families[definitions.UPSTREAM_RETRIES].count(operation)

    def catalog_refresh(self, result: Refresh) -> None:
        self._families[definitions.CATALOG_REFRESHES].count(result)

    def providers(self, providers: Iterable[str]) -> None:
        # Those that were known stay known: a label must not change while a run is under way.
        known = sorted(self._providers) + [name.lower() for name in providers if name.lower() not in self._providers]
        self._providers = frozenset(known[:MAX_PROVIDERS])

    def sample(self, gauges: Gauges, lag: float) -> None:
        families = self._families
        families[definitions.WAITS].set(gauges.waits)
        families[definitions.SUBSCRIPTIONS].set(gauges.subscriptions)
        families[definitions.UNREAD_BYTES].set(gauges.unread_bytes)
        families[definitions.CATALOG_MODELS].set(gauges.catalog_models)
        if gauges.catalog_age is not None:
            families[definitions.CATALOG_AGE].set(gauges.catalog_age)
        families[definitions.LIMIT_STORE_UP].set(gauges.limit_store_up)
        families[definitions.LIMIT_STORE_FALLBACKS].set(gauges.limit_store_fallbacks)
        families[definitions.LOOP_LAG].observe(max(0.0, lag))
