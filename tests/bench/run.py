"""``make bench``: the product beside a bare handler and beside servers made with other SDKs, in under 12 minutes."""

import argparse
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median

import attrs
import orjson

from tests.bench import servers
from tests.bench.load import Figure, Load, find_wrk, measure
from tests.bench.machine import BenchError, cores, cpu_seconds, resident_mib, two_cores_over_one
from tests.bench.peers_installed import INSTALL, Peer, answers_modern, content_of, differences
from tests.bench.report import BARE, LINE_ON, PRODUCT, REDIS, tables
from tests.bench.results import Results, RowResult, StartResult, StreamResult, WorkersResult
from tests.bench.rounds import Spread, alternate
from tests.bench.rows import LEGACY, MODERN, REVISIONS, ROWS
from tests.bench.servers import Target, post
from tests.bench.streams import peer_for_streams, product_for_streams, stream_load, waves
from tests.server_process import ROOT, NotReadyError

JSON_FILE = Path(__file__).with_name("last.json")
PARTS = ("rows", "workers", "streams", "starts")
ROUNDS = 3
#: Clients, seconds over which they start, seconds that a run takes. Runs last longer than the ramp, so that all wait
#: at the same time; up to 30 s of waiting, the product polls every 2 s.
WAVES = {"1,000": (1000, 5.0, 22.0), "5,000": (5000, 15.0, 29.0), "10,000": (10_000, 60.0, 66.0)}
TWO_WAVES = {"1,000", "5,000"}
#: Those that ``list`` something; with more connections than elsewhere, since the kernel spreads them by chance.
WORKER_ROWS = ROWS[1:]
#: wrk shares the cores with the workers: beside one it has a core for itself, from two it takes time. Requests that it
#: sends together take the least.
WORKERS_LOAD = Load(connections=256, at_once=8, pinned=False)
STARTS = 5
#: Seconds after its first answer when a server counts as idle.
IDLE_AFTER = 1.5


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.run", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="the parts to run (default: all)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds of one second for each server and row")
    parser.add_argument("--no-peers", action="store_true", help="leave the other SDKs out")
    parser.add_argument("--json", type=Path, default=JSON_FILE, help="where the figures go (default: %(default)s)")
    arguments = parser.parse_args()
    began = time.monotonic()
    results = Results(_now(), _commit(), f"CPython {platform.python_version()}", _machine())
    try:
        find_wrk()
        cores()
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(Path(folder), results, arguments.rounds)
            if not arguments.no_peers:
                bench.install_peers()
            steps = {"rows": bench.rows, "workers": bench.workers, "streams": bench.streams, "starts": bench.starts}
            for part in arguments.only:
                steps[part]()
    except (BenchError, NotReadyError, KeyboardInterrupt) as error:
        print(str(error) or "interrupted", file=sys.stderr)  # noqa: T201
        return 1
    finally:  # what was measured before an error is shown, too
        results.seconds = time.monotonic() - began
        arguments.json.write_bytes(orjson.dumps(attrs.asdict(results), option=orjson.OPT_INDENT_2))
        say("\n".join(["", *tables(results), f"Figures: {arguments.json}"]))
    return 0


@attrs.define
class Bench:
    """One run. ``folder`` takes logs and scripts."""

    folder: Path
    results: Results
    rounds: int
    peers: list[Peer] = attrs.field(factory=list)

    def install_peers(self) -> None:
        for install in INSTALL:
            try:
                self.peers.append(install())
            except BenchError as error:
                self.results.skipped.append(str(error))

    def rows(self) -> None:
        """Requests/s and processor time of every server, on every row, in both revisions."""
        with ExitStack() as stack:
            targets = self._start_all(stack)
            by_name = {row.name: row for row in ROWS}
            for revision in REVISIONS:
                present = self._with_equal_answers(targets, revision)
                say(f"{revision}: {', '.join(present)}")

                def measure_one(name: str, row: str, revision: str = revision) -> Figure:
                    target, query = targets[name], by_name[row]
                    return measure(target.url(query, revision), query.request(revision), target.pid)

                for row, seen in alternate(present, list(by_name), self.rounds, measure_one).items():
                    size = len(targets[PRODUCT].ask(by_name[row], revision))
                    self.results.rows.append(RowResult(revision, row, size, seen))

    def workers(self) -> None:
        """Two workers ÷ one. Servers and load share their cores: two cores leave none for the load."""
        if not servers.knows_setting("MCP_WORKERS"):
            self.results.skipped.append("two workers: this checkout has no setting MCP_WORKERS")
            return
        with ExitStack() as stack:
            settings = {count: {"MCP_WORKERS": count, **servers.LINE_OFF} for count in ("1", "2")}
            targets = {count: self._product(stack, count, own, pin=False) for count, own in settings.items()}
            for target in targets.values():
                servers.wait_until_ready(target.process)
                servers.settle(target, (LEGACY,))
            by_name = {row.name: row for row in WORKER_ROWS}
            two_cores: list[float] = []

            def measure_one(name: str, row: str) -> Figure:
                if (name, row) == ("1", WORKER_ROWS[0].name):  # once a round
                    two_cores.append(two_cores_over_one())
                url, request = targets[name].url(by_name[row], LEGACY), by_name[row].request(LEGACY)
                return measure(url, request, targets[name].pid, load=WORKERS_LOAD)

            for row, seen in alternate(list(targets), list(by_name), self.rounds, measure_one).items():
                self.results.workers.append(WorkersResult(row, seen["2"].rate_over(seen["1"])))
            self.results.two_cores = Spread.of(two_cores)

    def streams(self) -> None:
        """Memory, processor time and delay of waiting calls."""
        with stream_load() as load:
            for name, wave in WAVES.items():
                say(f"streams: product, {name}")
                plan = (wave,) * (2 if name in TWO_WAVES else 1)
                server = product_for_streams(self._own_folder(), load)
                self.results.streams.append(StreamResult(PRODUCT, waves(server, load, plan)))
            content = self._content()
            for peer in self.peers:
                say(f"streams: {peer.name}")
                server = peer_for_streams(self._own_folder(), peer, content, load)
                self.results.streams.append(StreamResult(peer.name, waves(server, load, (WAVES["1,000"],))))

    def starts(self) -> None:
        """Seconds and processor time to the first answer, and idle memory."""
        row, answers = ROWS[0], self._own_folder()
        (answers / servers.own_path(row, LEGACY)).write_bytes(b"{}")
        with stream_load() as load:
            content = self._content()
            makers: dict[str, Callable[[], Target]] = {
                BARE: lambda: Target(BARE, servers.bare(self._own_folder(), answers), own_paths=True),
                PRODUCT: lambda: Target(PRODUCT, product_for_streams(self._own_folder(), load)),
            }
            for peer in self.peers:
                makers[peer.name] = partial(_peer_target, peer, self._own_folder(), content)
            seen: dict[str, list[tuple[float, float, float]]] = {name: [] for name in makers}
            for _ in range(STARTS):
                for name, make in makers.items():
                    seen[name].append(_start(make()))
        for name, starts in seen.items():
            seconds, cpu_ms, idle = zip(*starts, strict=True)
            self.results.starts.append(StartResult(name, Spread.of(seconds), Spread.of(cpu_ms), median(idle)))

    def _start_all(self, stack: ExitStack) -> dict[str, Target]:
        targets = {
            PRODUCT: self._product(stack, PRODUCT, servers.LINE_OFF),
            LINE_ON: self._product(stack, LINE_ON, servers.LINE_ON),
        }
        try:
            store = stack.enter_context(servers.redis(self.folder))
            servers.wait_until_ready(store)
            settings = {"MCP_RATE_LIMIT_STORE": f"redis://127.0.0.1:{store.port}", **servers.LINE_OFF}
            targets[REDIS] = self._product(stack, REDIS, settings)
        except BenchError as error:
            self.results.skipped.append(str(error))
        for target in targets.values():
            servers.wait_until_ready(target.process)
            servers.settle(target, REVISIONS)
        answers = self._own_folder()
        servers.keep_answers(targets[PRODUCT], REVISIONS, answers)
        bare = stack.enter_context(servers.bare(self.folder, answers))
        servers.wait_until_ready(bare)
        targets[BARE] = Target(BARE, bare, own_paths=True)
        content = self._content(targets[PRODUCT])
        for peer in self.peers:
            process = stack.enter_context(peer.process(self.folder, content))
            servers.wait_until_ready(process)  # one after the other: they share a core
            targets[peer.name] = Target(peer.name, process)
        return targets

    def _with_equal_answers(self, targets: dict[str, Target], revision: str) -> list[str]:
        """The servers to measure. Raises ``BenchError`` when one of them answers with other content."""
        present = []
        for name, target in targets.items():
            if revision == MODERN and not answers_modern(target):
                self.results.skipped.append(f"{name} in {revision}: it does not know this revision")
            elif different := differences(targets[PRODUCT], target, revision):
                raise BenchError(f"{name} answers differently in {revision}: {', '.join(different)}")
            else:
                present.append(name)
        return present

    def _product(self, stack: ExitStack, name: str, settings: dict[str, str], *, pin: bool = True) -> Target:
        return Target(name, stack.enter_context(servers.product(self.folder, settings, pin=pin)))

    def _content(self, product: Target | None = None) -> Path:
        """The file of what the peers answer."""
        path = self.folder / "content.json"
        if product is None and not path.exists():
            with ExitStack() as stack:
                own = self._product(stack, PRODUCT, servers.LINE_OFF)
                servers.wait_until_ready(own.process)
                servers.settle(own, (LEGACY,))
                path.write_bytes(content_of(own))
        elif product is not None:
            path.write_bytes(content_of(product))
        return path

    def _own_folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.folder))


def _peer_target(peer: Peer, folder: Path, content: Path) -> Target:
    return Target(peer.name, peer.process(folder, content))


def _start(target: Target) -> tuple[float, float, float]:
    """Start it, and end it; (seconds to the first answer, processor ms until then, idle MiB)."""
    row = ROWS[0]
    with target.process as server:
        began = time.monotonic()
        while True:
            with suppress(OSError, BenchError):
                post(server.port, target.path(row, LEGACY), row.request(LEGACY))
                break
            if time.monotonic() - began > servers.START_SECONDS or server.exit_code is not None:
                raise BenchError(f"a server does not start:\n{server.output}")
            time.sleep(0.005)
        seconds, cpu = time.monotonic() - began, cpu_seconds(target.pid)
        time.sleep(IDLE_AFTER)
        return seconds, cpu * 1000, resident_mib(target.pid)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d")


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    found = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)  # noqa: S603
    return found.stdout.strip() or "unknown"


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return f"{sum(line.startswith('processor') for line in lines)} × {model}"


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a command


if __name__ == "__main__":
    sys.exit(main())
