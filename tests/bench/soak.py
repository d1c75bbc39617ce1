"""``python -m tests.bench.soak``: half an hour of moderate load: growth of memory, and delays of the event loop."""

import argparse
import asyncio
import itertools
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import attrs
import uvloop

from tests.bench import servers
from tests.bench.fast_upstream import FastUpstream
from tests.bench.machine import BenchError, cores, cpu_seconds, resident_mib
from tests.bench.report import table
from tests.bench.rows import REVISIONS, ROWS, Request
from tests.bench.servers import LINE_ON, product
from tests.bench.stream_clients import generate_request
from tests.bench.stream_load import percentile
from tests.server_process import NotReadyError, ServerProcess
from tests.serving import upstream_settings

#: Short calls a second, and callers that wait for a run at every moment.
CALLS, WAITERS = 200, 200
#: Seconds that runs take.
RUN_SECONDS = 12.0
PROBE_INTERVAL = 0.1
SAMPLE_INTERVAL = 5.0
#: The share of the time after which memory is looked at: until then caches fill.
WARM_UP_SHARE = 0.25


@attrs.define
class Soak:
    """What has been seen so far. ``probes``: ms that /healthz took. ``memory``: (seconds since the start, MiB)."""

    calls: int = 0
    waits: int = 0
    failures: list[str] = attrs.field(factory=list)
    probes: list[float] = attrs.field(factory=list)
    memory: list[tuple[float, float]] = attrs.field(factory=list)

    @property
    def slope(self) -> float:
        """MiB an hour, by least squares, after the warm-up."""
        settled = self.memory[int(len(self.memory) * WARM_UP_SHARE) :]
        return slope(settled) * 3600


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The slope of the line that fits the points best; 0 for fewer than two."""
    if len(points) < 2:
        return 0.0
    middle_x = sum(x for x, _ in points) / len(points)
    middle_y = sum(y for _, y in points) / len(points)
    square = sum((x - middle_x) ** 2 for x, _ in points)
    return sum((x - middle_x) * (y - middle_y) for x, y in points) / square


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    arguments = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            return uvloop.run(_run(Path(folder), arguments.minutes * 60))
    except (BenchError, NotReadyError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command
        return 1


async def _run(folder: Path, seconds: float) -> int:
    upstream = FastUpstream(duration=RUN_SECONDS)
    url = f"http://127.0.0.1:{await upstream.start()}"
    with product(folder, {**upstream_settings(url), **LINE_ON}, command=("serve",)) as server:
        await asyncio.to_thread(servers.wait_until_ready, server)
        pin_this_process()
        seen = Soak()
        used = cpu_seconds(server.process.pid)
        await _load(server, upstream, seen, seconds)
        used = cpu_seconds(server.process.pid) - used
        probes, memory = sorted(seen.probes), [mib for _, mib in seen.memory]
        memory.append(resident_mib(server.process.pid, peak=True))
        figures = {
            "minutes": f"{seconds / 60:g}",
            "calls, waits": f"{seen.calls:,}, {seen.waits:,}",
            "failures": "none" if not seen.failures else f"{len(seen.failures)}: {seen.failures[0]}",
            "share of the core": f"{used / seconds:.0%}",
            "resident MiB, first / last / peak": f"{memory[0]:.0f} / {memory[-2]:.0f} / {memory[-1]:.0f}",
            "growth after the first quarter, MiB an hour": f"{seen.slope:.1f}",
            "/healthz, ms, p50 / p99 / max": " / ".join(
                f"{percentile(probes, part) or 0:.1f}" for part in (50, 99, 100)
            ),
        }
    for line in table(("", ""), [*figures.items()]):
        print(line)  # noqa: T201
    return 1 if seen.failures else 0


def pin_this_process() -> None:
    """The load and the simulated Runflow run here, beside the server's core."""
    os.sched_setaffinity(0, {cores()[1]})


async def _load(server: ServerProcess, upstream: FastUpstream, seen: Soak, seconds: float) -> None:
    began = time.monotonic()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(server.origin, connector=connector) as session:
        tasks = [
            asyncio.create_task(_probe(session, seen)),
            asyncio.create_task(_sample(server, seen, began)),
            asyncio.create_task(_forget(upstream)),
            asyncio.create_task(_call_often(session, seen)),
            *(asyncio.create_task(_wait_often(session, seen, number)) for number in range(WAITERS)),
        ]
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()


async def _post(session: aiohttp.ClientSession, request: Request, seen: Soak) -> None:
    async with session.post("/mcp", data=request.body, headers=request.headers) as response:
        content = await response.read()
    if response.status != 200 or b'"result"' not in content:
        seen.failures.append(f"{response.status}: {content[-300:]!r}")


async def _call_often(session: aiohttp.ClientSession, seen: Soak) -> None:
    requests = [row.request(revision) for row in ROWS for revision in REVISIONS]
    async with asyncio.TaskGroup() as calls:
        while True:
            await asyncio.sleep(random.expovariate(CALLS))
            calls.create_task(_post(session, random.choice(requests), seen))
            seen.calls += 1


async def _wait_often(session: aiohttp.ClientSession, seen: Soak, number: int) -> None:
    await asyncio.sleep(random.uniform(0, RUN_SECONDS))
    for revision in itertools.cycle(REVISIONS):
        await _post(session, generate_request(number, revision), seen)
        seen.waits += 1


async def _probe(session: aiohttp.ClientSession, seen: Soak) -> None:
    while True:
        await asyncio.sleep(PROBE_INTERVAL)
        began = time.perf_counter()
        async with session.get("/healthz") as response:
            await response.read()
        seen.probes.append((time.perf_counter() - began) * 1000)


async def _sample(server: ServerProcess, seen: Soak, began: float) -> None:
    while True:
        seen.memory.append((time.monotonic() - began, resident_mib(server.process.pid)))
        await asyncio.sleep(SAMPLE_INTERVAL)


async def _forget(upstream: FastUpstream) -> None:
    """Let the simulated Runflow forget old runs, so that its memory does not grow."""
    while True:
        await asyncio.sleep(60)
        upstream.forget_runs(ended_before=time.monotonic() - 60)


if __name__ == "__main__":
    sys.exit(main())
