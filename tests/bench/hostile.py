"""``python -m tests.bench.hostile``: the throughput of others with and without a hostile caller beside them.

Both loads come from one core, on which the hostile one runs last: it takes time of the server, not of the other load.
The limits are the default ones. The others come from 50,000 addresses with as many keys, which the limits all admit.
"""

import argparse
import asyncio
import itertools
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import orjson

from runflow_mcp.bounds import MAX_BODY_VALUES
from runflow_mcp.protocol.jsonrpc import MAX_BATCH
from runflow_mcp.settings.config import Config
from tests.bench import servers
from tests.bench.load import Callers, Figure, Load, find_wrk, measure
from tests.bench.machine import BenchError, resident_mib
from tests.bench.report import table
from tests.bench.rounds import alternate
from tests.bench.rows import LEGACY, ROWS, Request, Row
from tests.bench.servers import LINE_OFF, Target, settle
from tests.bench.stream_clients import as_bytes
from tests.bench.streams import product_for_streams, stream_load
from tests.server_process import HOST, NotReadyError

OTHERS_AT_ONCE, HOSTILE_AT_ONCE = 48, 16
OTHERS = Load(OTHERS_AT_ONCE, Callers(50_000))
#: Numbers of hostile callers begin here; each round takes new ones that no limit has counted yet.
FIRST_HOSTILE = 100_000
SECONDS = 2
#: Seconds in which a new hostile caller uses up its limits; what it can send in the rest of a minute is measured.
HEAD_START = 1
SLOW_READERS = 200
QUIET = "nobody"
#: A depth of nesting that is still accepted.
DEPTH = 900
CONFIG = Config.from_mapping({})
LARGEST = CONFIG.max_body_bytes - 1024
DEFAULT_LIMITS = {
    "MCP_RATE_LIMIT_PRE_AUTH_PER_IP": str(CONFIG.rate_limit_pre_auth_per_ip),
    "MCP_RATE_LIMIT_PER_IP": str(CONFIG.rate_limit_per_ip),
    "MCP_RATE_LIMIT_PER_KEY": str(CONFIG.rate_limit_per_key),
}
SETTINGS = {"MCP_TRUSTED_PROXIES": HOST, **DEFAULT_LIMITS, **LINE_OFF}


@attrs.frozen
class Hostile:
    """A load by wrk: this request, over and over. ``callers``: how many addresses and keys it comes from."""

    name: str
    request: Request
    callers: int = 1
    keyless: bool = False


def _call(**arguments: Any) -> Request:
    return Row("call", "tools/call", {"name": "list_models", "arguments": arguments}).request(LEGACY)


def _nested() -> Request:
    """The largest body that is read: chains of arrays as deep and as many as are accepted, then text."""
    chains = (MAX_BODY_VALUES - 1000) // DEPTH
    chain = b"[" * DEPTH + b"]" * DEPTH
    request = _call(query="MARK")
    filling = b"[" + b",".join([chain] * chains)
    filling += b',"' + b"x" * (LARGEST - len(filling) - len(request.body)) + b'"]'
    return attrs.evolve(request, body=request.body.replace(b'"MARK"', filling))


def _batch() -> Request:
    request = _call()
    entry = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "list_models", "arguments": {"limit": "x"}},
    }
    headers = {name: value for name, value in request.headers.items() if name != "MCP-Protocol-Version"}
    return Request(orjson.dumps([entry] * MAX_BATCH), headers)


LOADS = (
    Hostile("100,000 addresses without a key", ROWS[1].request(LEGACY), callers=100_000, keyless=True),
    Hostile("100,000 addresses with invented keys", ROWS[1].request(LEGACY), callers=100_000),
    Hostile("the largest body, full of nesting", _nested()),
    Hostile("answers with 200 models", _call(limit=200)),
    Hostile("an argument that is an array of wrong values", _call(category=["wrong"] * (MAX_BODY_VALUES - 1000))),
    Hostile("a batch of 50 wrong calls", _batch()),
)
SLOW = f"{SLOW_READERS} clients that read one byte a second"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.hostile", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help=f"rounds of {SECONDS} s for each load (default: 3)")
    parser.add_argument("--callers", type=int, default=1, help="addresses and keys of a hostile caller (default: 1)")
    arguments = parser.parse_args()
    try:
        find_wrk()
        with (
            tempfile.TemporaryDirectory() as folder,
            stream_load(models=300) as load,
            product_for_streams(Path(folder), load, **SETTINGS) as process,
        ):
            servers.wait_until_ready(process)
            target = Target("product", process)
            settle(target, (LEGACY,))
            for line in _compare(target, arguments.rounds, arguments.callers):
                print(line, flush=True)  # noqa: T201 - a command
    except (BenchError, NotReadyError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _compare(target: Target, rounds: int, callers: int) -> Iterator[str]:
    row = ROWS[3]
    numbers = itertools.count(FIRST_HOSTILE)
    hostile_rates: dict[str, float] = {}

    def others() -> Figure:
        return measure(target.url(row, LEGACY), row.request(LEGACY), target.pid, SECONDS, OTHERS)

    def measure_one(name: str, _row: str) -> Figure:
        if name == QUIET:
            return others()
        if name == SLOW:
            with slow_readers(target.process.port, next(numbers)):
                return others()
        [load] = [load for load in LOADS if load.name == name]
        count = max(load.callers, callers)
        senders = Callers(count, next(numbers) * count, keyless=load.keyless)
        sent = Load(HOSTILE_AT_ONCE, senders, background=True, errors_allowed=True)
        seconds = HEAD_START + SECONDS + 1
        with ThreadPoolExecutor(1) as pool:
            beside = pool.submit(measure, target.url(row, LEGACY), load.request, target.pid, seconds, sent)
            time.sleep(HEAD_START)
            figure = others()
            hostile_rates[name] = beside.result().rate
        return figure

    names = [QUIET, *(load.name for load in LOADS), SLOW]
    seen = alternate(names, [row.name], rounds, measure_one)[row.name]
    yield f"{row.name} of others, {OTHERS_AT_ONCE} connections, beside a hostile caller with {HOSTILE_AT_ONCE}"
    yield ""
    yield from table(
        ("hostile", "its requests/s", "others' requests/s", "÷ without it", "others' p99 ms"),
        [
            (
                name,
                f"{hostile_rates[name]:.0f}" if name in hostile_rates else "–",
                f"{own.rate.median:.0f}",
                own.rate_over(seen[QUIET]).show(),
                f"{max(figure.p99 for figure in own.rounds):.0f}",
            )
            for name, own in seen.items()
        ],
    )
    yield ""
    yield f"Peak resident memory: {resident_mib(target.pid, peak=True):.0f} MiB"


@contextmanager
def slow_readers(port: int, number: int) -> Iterator[None]:
    """Clients that ask for the longest answer and read one byte a second of it, until the end of the block."""
    stop = threading.Event()
    started = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_read_slowly(port, number, started, stop)))
    thread.start()
    started.wait(30)
    try:
        yield
    finally:
        stop.set()
        thread.join()


async def _read_slowly(port: int, number: int, started: threading.Event, stop: threading.Event) -> None:
    loop = asyncio.get_running_loop()
    request = _call(limit=200)
    sockets = []
    for reader in range(SLOW_READERS):
        own = socket.socket()
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        own.setblocking(False)  # noqa: FBT003 - the only way to call it
        await loop.sock_connect(own, (HOST, port))
        address = {"X-Forwarded-For": f"11.{number // 256 % 256}.{number % 256}.{reader % 8}"}
        await loop.sock_sendall(own, as_bytes(attrs.evolve(request, headers={**request.headers, **address}), port))
        sockets.append(own)
    started.set()
    try:
        while not stop.is_set():
            for own in sockets:
                with suppress(OSError):
                    own.recv(1)
            await asyncio.sleep(1)
    finally:
        for own in sockets:
            own.close()


if __name__ == "__main__":
    sys.exit(main())
