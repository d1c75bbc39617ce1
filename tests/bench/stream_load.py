"""``python -m tests.bench.stream_load [MODELS]``: the simulated Runflow and the waiting clients, in one process.

It prints the port of its Runflow, then reads one wave a line (JSON) and answers with what was measured.
"""

import asyncio
import math
import sys
import time
from collections.abc import Sequence

import attrs
import cattrs
import orjson
import uvloop

from runflow_mcp import open_files
from tests.bench.fast_upstream import FastUpstream, large_catalog
from tests.bench.machine import cpu_seconds, resident_mib
from tests.bench.stream_clients import Wave, as_bytes, generate_request, start_clients

#: Seconds between the last start and the measurement of processor time, and between its end and the first run's end.
MARGIN = 1.0
#: Seconds after the last run's end; a client without a result then counts as lost.
PATIENCE = 60.0
LAG_INTERVAL = 0.02


@attrs.frozen
class WaveOrder:
    """``count`` clients, started over ``ramp`` s, on the server at ``port`` whose process is ``pid``.

    Each run takes ``duration`` s, which must be longer than the ramp by a few seconds for a CPU figure. ``storm``: once
    all wait, every connection is closed, and the same calls are sent again within so many seconds; the second attempt
    is measured.
    """

    port: int
    pid: int
    count: int
    ramp: float
    duration: float
    revision: str
    storm: float | None = None


@attrs.frozen
class WaveFigures:
    """MiB, ms; ``cpu_per_stream_minute``: ms, while all clients wait; ``lag_p99``: ms of the load's own event loop."""

    count: int
    finished: int
    failures: list[str]
    idle_mib: float
    waiting_mib: float
    peak_mib: float
    cpu_per_stream_minute: float | None
    cpu_per_stream: float
    polls: int
    first_byte_p50: float | None
    first_byte_p99: float | None
    delay_p50: float | None
    delay_p99: float | None
    delay_max: float | None
    lag_p99: float

    @property
    def kib_each(self) -> float:
        return (self.waiting_mib - self.idle_mib) * 1024 / max(self.count, 1)


async def run_wave(upstream: FastUpstream, order: WaveOrder) -> WaveFigures:
    """One wave, from the first start to the last result."""
    upstream.forget_runs()
    upstream.duration, upstream.polls = order.duration, 0
    wave = Wave()
    lags: list[float] = []
    idle, used_before = resident_mib(order.pid), cpu_seconds(order.pid)
    began = time.monotonic()
    watching = asyncio.create_task(_watch_lag(lags))

    def request(number: int) -> bytes:
        return as_bytes(generate_request(number, order.revision, named=order.storm is not None), order.port)

    await start_clients(request, order.port, order.count, order.ramp, wave)
    await asyncio.sleep(MARGIN)
    if order.storm is not None:
        broken, wave = wave, Wave()
        for client in [*broken.waiting]:
            client.leave()
        await start_clients(request, order.port, order.count, order.storm, wave)
    used, since = cpu_seconds(order.pid), time.monotonic()
    await asyncio.sleep(max(began + order.duration - MARGIN - since, 0))
    used, span = cpu_seconds(order.pid) - used, time.monotonic() - since
    waiting = resident_mib(order.pid)
    last = time.monotonic() + order.ramp + PATIENCE
    while wave.ended < order.count and time.monotonic() < last:  # noqa: ASYNC110 - the loop is the deadline too
        await asyncio.sleep(0.05)
    watching.cancel()
    delays, first_bytes = sorted(wave.delays), sorted(wave.first_bytes)
    return WaveFigures(
        count=order.count,
        finished=len(wave.delays),
        failures=wave.failures[:5],
        idle_mib=idle,
        waiting_mib=waiting,
        peak_mib=resident_mib(order.pid, peak=True),
        cpu_per_stream_minute=used * 1000 / (order.count * span / 60) if span > 1 else None,
        cpu_per_stream=(cpu_seconds(order.pid) - used_before) * 1000 / order.count,
        polls=upstream.polls,
        first_byte_p50=percentile(first_bytes, 50),
        first_byte_p99=percentile(first_bytes, 99),
        delay_p50=percentile(delays, 50),
        delay_p99=percentile(delays, 99),
        delay_max=percentile(delays, 100),
        lag_p99=percentile(sorted(lags), 99) or 0.0,
    )


def percentile(values: Sequence[float], part: int) -> float | None:
    """Of sorted values, the one below or at which ``part`` per cent of them are; None without any."""
    return values[max(math.ceil(len(values) * part / 100) - 1, 0)] if values else None


async def _watch_lag(lags: list[float]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_INTERVAL
        await asyncio.sleep(LAG_INTERVAL)
        lags.append((loop.time() - due) * 1000)


async def main() -> None:
    open_files.raise_limit()
    upstream = FastUpstream(catalog=large_catalog(int(sys.argv[1]))) if sys.argv[1:] else FastUpstream()
    print(await upstream.start(), flush=True)  # noqa: T201 - for the process that started this one
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        figures = await run_wave(upstream, cattrs.structure(orjson.loads(line), WaveOrder))
        print(orjson.dumps(attrs.asdict(figures)).decode(), flush=True)  # noqa: T201


if __name__ == "__main__":
    uvloop.run(main())
