"""``python -m tests.bench.scale``: what ten times the catalog, and 100,000 rate-limit keys, cost."""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.bench import servers
from tests.bench.load import Callers, Figure, Load, find_wrk, measure
from tests.bench.machine import BenchError, resident_mib
from tests.bench.report import table
from tests.bench.rounds import alternate
from tests.bench.rows import LEGACY, ROWS, Row
from tests.bench.servers import LINE_OFF, Target, settle
from tests.bench.streams import product_for_streams, stream_load
from tests.server_process import NotReadyError

MODELS, TEN_TIMES = 300, 3000
KEYS = 100_000
#: Seconds of load in which the keys are sent, at most.
FILL_SECONDS = 120
FILL_STEP = 5
SEARCH = Row("list_models query", "tools/call", {"name": "list_models", "arguments": {"query": "background removal"}})
FAR = Row("list_models last", "tools/call", {"name": "list_models", "arguments": {"query": f"-{MODELS - 1}"}})
#: A window that outlasts the measurement, so that no key is forgotten before its end.
MANY_CALLERS = {"MCP_TRUSTED_PROXIES": "127.0.0.1", "MCP_RATE_LIMIT_WINDOW_MS": "600000"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale", description=__doc__)
    parser.add_argument("--rounds", type=int, default=4, help="rounds of one second for each server and row")
    arguments = parser.parse_args()
    try:
        find_wrk()
        with tempfile.TemporaryDirectory() as folder:
            for line in _catalogs(Path(folder), arguments.rounds):
                print(line, flush=True)  # noqa: T201 - a command
            for line in _keys(Path(folder), arguments.rounds):
                print(line, flush=True)  # noqa: T201
    except (BenchError, NotReadyError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _catalogs(folder: Path, rounds: int) -> Iterator[str]:
    """300 and 3,000 models beside each other."""
    with ExitStack() as stack:
        targets = {}
        for models in (MODELS, TEN_TIMES):
            load = stack.enter_context(stream_load(models))
            process = stack.enter_context(product_for_streams(folder, load, **LINE_OFF))
            servers.wait_until_ready(process)
            targets[str(models)] = Target(f"{models} models", process)
            settle(targets[str(models)], (LEGACY,))
        by_name = {row.name: row for row in (*ROWS, SEARCH, FAR)}

        def measure_one(name: str, row: str) -> Figure:
            target, query = targets[name], by_name[row]
            return measure(target.url(query, LEGACY), query.request(LEGACY), target.pid)

        seen = alternate(list(targets), list(by_name), rounds, measure_one)
        yield f"{TEN_TIMES:,} models beside {MODELS}; ratios above 1 are better"
        yield ""
        yield from table(
            ("row", "KB", "requests/s ÷", "µs, small / large", "µs ÷"),
            [
                (
                    row,
                    " / ".join(f"{len(target.ask(by_name[row], LEGACY)) / 1000:.0f}" for target in targets.values()),
                    large.rate_over(small).show(),
                    f"{small.cpu:.0f} / {large.cpu:.0f}",
                    large.cpu_over(small).show(),
                )
                for row, measured in seen.items()
                for small, large in [(measured[str(MODELS)], measured[str(TEN_TIMES)])]
            ],
        )
        memory = ", ".join(f"{target.name} {resident_mib(target.pid):.0f} MiB" for target in targets.values())
        yield f"Resident memory: {memory}"
        yield ""


def _keys(folder: Path, rounds: int) -> Iterator[str]:
    """One caller, before and after 100,000 others have come."""
    with stream_load() as load, product_for_streams(folder, load, **LINE_OFF, **MANY_CALLERS) as process:
        servers.wait_until_ready(process)
        target = Target("product", process)
        settle(target, (LEGACY,))
        row = ROWS[1]
        url, request = target.url(row, LEGACY), row.request(LEGACY)

        def measure_one(_name: str, _row: str) -> Figure:
            return measure(url, request, target.pid)

        before, memory = alternate(["keys"], [row.name], rounds, measure_one), resident_mib(target.pid)
        sent, began = 0.0, time.monotonic()
        while sent < KEYS and time.monotonic() < began + FILL_SECONDS:
            callers = Callers(KEYS, first=int(sent))
            sent += measure(url, request, target.pid, FILL_STEP, Load(callers=callers)).rate * FILL_STEP
        after = alternate(["keys"], [row.name], rounds, measure_one)
        old, new = before[row.name]["keys"], after[row.name]["keys"]
        yield f"{sent:,.0f} keys and addresses in the windows; {row.name} of one other caller"
        yield ""
        yield from table(
            ("", "requests/s", "µs", "resident MiB"),
            [
                ("before", old.rate.show(0), f"{old.cpu:.0f}", f"{memory:.0f}"),
                ("with the keys", new.rate.show(0), f"{new.cpu:.0f}", f"{resident_mib(target.pid):.0f}"),
            ],
        )


if __name__ == "__main__":
    sys.exit(main())
