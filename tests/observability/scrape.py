"""Metrics of a server under test, as a scrape shows them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from random import Random

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from runflow_mcp.clock import Clock
from runflow_mcp.observability.counting import CountingMetrics
from runflow_mcp.observability.exposition import Processes, registry_of
from runflow_mcp.observability.metric_memory import MetricMemory
from tests.serving import ServedApp, Server, upstream_settings

Samples = Mapping[str, float]


def samples_of(text: str) -> dict[str, float]:
    """``name{label="value",…}`` → value: labels in the order of their names, without those that are empty."""
    samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()) if value)
            samples[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return samples


def scrape(processes: Processes, *, workers: bool = False) -> dict[str, float]:
    return samples_of(generate_latest(registry_of(processes, workers=workers)).decode())


class Metered:
    """The metrics of one server in this process."""

    def __init__(self) -> None:
        memory = MetricMemory(-1)
        self.metrics = CountingMetrics(memory)
        self._processes = Processes()
        self._processes.add(None, memory)

    def samples(self, *names: str) -> dict[str, float]:
        """The samples of these metrics (all of the server's own, without a name) that are not 0, without buckets."""
        return {
            key: value
            for key, value in scrape(self._processes).items()
            if value and key.startswith(names or ("runflow_mcp_", "mcp_server_")) and "_bucket" not in key
        }

    def counts(self, *names: str) -> dict[str, float]:
        """Their counts and counters alone."""
        return {key: value for key, value in self.samples(*names).items() if "_sum" not in key}


@asynccontextmanager
async def metered_server(
    upstream: str, clock: Clock, metered: Metered, settings: Mapping[str, str]
) -> AsyncIterator[Server]:
    served = await ServedApp.start(
        {**upstream_settings(upstream, skill=True), **settings}, clock, Random(0), metrics=metered.metrics
    )
    try:
        async with served.client() as server:
            yield server
    finally:
        await served.runner.cleanup()
