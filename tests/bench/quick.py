"""``make bench-quick``: the product ÷ a bare handler in under a minute, and ÷ another checkout with ``BASE=``."""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from tests.bench import servers
from tests.bench.load import Figure, find_wrk, measure
from tests.bench.machine import BenchError
from tests.bench.rounds import alternate
from tests.bench.rows import LEGACY, ROWS
from tests.bench.servers import LINE_OFF, LINE_ON, Target
from tests.server_process import ROOT, NotReadyError

ROUNDS = 4
#: With a third server in each round; fewer rounds, so that it stays under a minute.
ROUNDS_WITH_BASE = 3
#: The row that is measured with the access line too.
LINE_ROW = ROWS[1]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.quick", description=__doc__)
    parser.add_argument("--base", type=Path, help="another checkout to compare with")
    parser.add_argument("--rounds", type=int, help="rounds of one second for each server and row")
    parser.add_argument("--revision", default=LEGACY, help=f"the protocol revision (default {LEGACY})")
    arguments = parser.parse_args()
    base: Path | None = arguments.base
    if base is not None and not (base / "runflow_mcp").is_dir():
        parser.error(f"{base} is not a checkout: it has no runflow_mcp/")
    rounds = arguments.rounds or (ROUNDS_WITH_BASE if base else ROUNDS)
    try:
        find_wrk()
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            targets = _start(Path(folder), base and base.resolve(), arguments.revision, stack)
            for line in _lines(targets, rounds, arguments.revision):
                print(line, flush=True)  # noqa: T201 - a command
    except (BenchError, NotReadyError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _start(folder: Path, base: Path | None, revision: str, stack: ExitStack) -> dict[str, Target]:
    """The servers: ``product``, ``line on``, ``bare`` and perhaps ``base``."""
    trees = {"product": (ROOT, LINE_OFF), "line on": (ROOT, LINE_ON)}
    if base is not None:
        trees["base"] = (base, LINE_OFF)
    targets = {
        name: Target(name, stack.enter_context(servers.product(folder, settings, tree)))
        for name, (tree, settings) in trees.items()
    }
    for target in targets.values():
        servers.wait_until_ready(target.process)
        servers.settle(target, (revision,))
    answers = folder / "answers"
    answers.mkdir()
    servers.keep_answers(targets["product"], (revision,), answers)
    targets["bare"] = Target("bare", stack.enter_context(servers.bare(folder, answers)), own_paths=True)
    servers.wait_until_ready(targets["bare"].process)
    return targets


def _lines(targets: Mapping[str, Target], rounds: int, revision: str) -> Iterator[str]:
    by_name = {row.name: row for row in ROWS}

    def measure_one(name: str, row_name: str) -> Figure:
        row = by_name[row_name]
        return measure(targets[name].url(row, revision), row.request(revision), targets[name].pid)

    compared = [name for name in ("bare", "product", "base") if name in targets]
    yield f"{revision}, {rounds} rounds of 1 s, 64 connections, access line off. In brackets: min–max of one round."
    yield "rate: requests/s of the product. cpu: µs of processor time a request, the least. Ratios above 1 are better."
    yield ""
    with_base = ("rate ÷ base", "base ÷ cpu") if "base" in targets else ()
    yield _row("", "KB", "rate", "÷ bare", "cpu", "bare's", "bare ÷ cpu", *with_base)
    for name, seen in alternate(compared, list(by_name), rounds, measure_one).items():
        own, bare = seen["product"], seen["bare"]
        yield _row(
            name,
            f"{len(targets['product'].ask(by_name[name], revision)) / 1000:.1f}",
            f"{own.rate.median:.0f}",
            own.rate_over(bare).show(),
            f"{own.cpu:.0f}",
            f"{bare.cpu:.0f}",
            own.cpu_over(bare).show(),
            *([own.rate_over(seen["base"]).show(), own.cpu_over(seen["base"]).show()] if "base" in seen else []),
        )
    rounds = min(rounds, ROUNDS_WITH_BASE)
    seen = alternate(["product", "line on"], [LINE_ROW.name], rounds, measure_one)[LINE_ROW.name]
    on, off = seen["line on"], seen["product"]
    yield ""
    yield (
        f"access line on ÷ off, {LINE_ROW.name}: rate {on.rate_over(off).show()}, "
        f"cpu {off.cpu:.0f} → {on.cpu:.0f} µs, off ÷ on {on.cpu_over(off).show()}"
    )


def _row(name: str, *columns: str) -> str:
    widths = (5, 7, 17, 6, 7, 17, 17, 17)
    return f"{name:15}" + " ".join(f"{text:>{width}}" for text, width in zip(columns, widths, strict=False))


if __name__ == "__main__":
    sys.exit(main())
