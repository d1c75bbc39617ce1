"""The metrics of one process or of several, added up, in Prometheus' text format.

Needs the extra ``metrics``; imported only where they are served.
"""

from collections.abc import Iterable, Iterator
from functools import partial

import attrs
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as MetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from runflow_mcp.observability.definitions import BY_NAME, METRICS, Kind, Metric
from runflow_mcp.observability.metric_memory import MetricMemory

Labels = tuple[str, ...]
Numbers = tuple[float, ...]


@attrs.define
class Processes:
    """The processes whose metrics are shown together. Their keys: the process id, or None for this process."""

    _memories: dict[int | None, MetricMemory] = attrs.field(factory=dict)
    #: Counters and histograms of processes that have ended.
    _ended: dict[tuple[str, Labels], Numbers] = attrs.field(factory=dict)

    def add(self, process_id: int | None, memory: MetricMemory) -> None:
        self._memories = {**self._memories, process_id: memory}  # replaced, because another thread reads it

    def remove(self, process_id: int | None) -> None:
        """The process has ended: its counters remain in the sum, its gauges do not."""
        memory = self._memories.get(process_id)
        if memory is None:
            return
        ended = dict(self._ended)
        for series in memory.read():
            if BY_NAME[series.metric].kind is not Kind.GAUGE:
                key = (series.metric, series.labels)
                ended[key] = _added(ended.get(key), series.values)
        self._memories = {key: other for key, other in self._memories.items() if key != process_id}
        self._ended = ended
        memory.close()

    @property
    def ids(self) -> list[int]:
        return [key for key in self._memories if key is not None]

    def totals(self) -> dict[tuple[str, Labels], Numbers]:
        """Every series of all processes together."""
        totals = dict(self._ended)
        gauges: dict[tuple[str, Labels], list[float]] = {}
        for memory in self._memories.values():
            for series in memory.read():
                key = (series.metric, series.labels)
                if BY_NAME[series.metric].kind is Kind.GAUGE:
                    gauges.setdefault(key, []).append(series.values[0])
                else:
                    totals[key] = _added(totals.get(key), series.values)
        for key, values in gauges.items():
            totals[key] = (BY_NAME[key[0]].merge(values),)
        return totals


def _added(total: Numbers | None, values: Numbers) -> Numbers:
    return values if total is None else tuple(map(sum, zip(total, values, strict=True)))


def registry_of(processes: Processes, *, workers: bool) -> CollectorRegistry:
    """Everything that ``GET /metrics`` shows. ``workers``: the processes are the workers of this one."""
    registry = CollectorRegistry()
    registry.register(_OwnMetrics(processes))
    PlatformCollector(registry)
    if workers:
        registry.register(_WorkerProcesses(processes))
    else:
        ProcessCollector(registry=registry)
        GCCollector(registry)
    return registry


@attrs.frozen(eq=False)
class _OwnMetrics(Collector):
    processes: Processes

    def collect(self) -> Iterator[MetricFamily]:
        totals = self.processes.totals()
        for metric in METRICS:
            series = [(labels, values) for (name, labels), values in sorted(totals.items()) if name == metric.name]
            yield _family(metric, series)


def _family(metric: Metric, series: Iterable[tuple[Labels, Numbers]]) -> MetricFamily:
    match metric.kind:
        case Kind.COUNTER:
            counter = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
            for labels, (value,) in series:
                counter.add_metric(labels, value)
            return counter
        case Kind.GAUGE:
            gauge = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
            for labels, (value,) in series:
                gauge.add_metric(labels, value)
            return gauge
        case Kind.HISTOGRAM:
            histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
            bounds = [*map(floatToGoString, metric.buckets), "+Inf"]
            for labels, (total, *counts) in series:
                cumulative = 0.0
                buckets: list[tuple[str, float]] = []
                for bound, count in zip(bounds, counts, strict=True):
                    cumulative += count
                    buckets.append((bound, cumulative))
                histogram.add_metric(labels, buckets, total)
            return histogram


@attrs.define(eq=False)
class _WorkerProcesses(Collector):
    """``process_*`` of all workers added up, with the earliest start."""

    processes: Processes
    #: Processor time of each worker, kept after its end.
    _seconds: dict[int, float] = attrs.field(factory=dict)

    def collect(self) -> Iterator[MetricFamily]:
        values: dict[str, list[float]] = {}
        helps: dict[str, str] = {}
        for process_id in self.processes.ids:
            for family in ProcessCollector(pid=partial(int, process_id), registry=None).collect():
                helps[family.name] = family.documentation
                if family.type == "counter":
                    self._seconds[process_id] = family.samples[0].value
                else:
                    values.setdefault(family.name, []).append(family.samples[0].value)
        for name, found in values.items():
            yield GaugeMetricFamily(name, helps[name], (min if "start_time" in name else sum)(found))
        yield CounterMetricFamily(
            "process_cpu_seconds_total", helps.get("process_cpu_seconds", ""), sum(self._seconds.values())
        )
