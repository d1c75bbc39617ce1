"""The results as Markdown tables, which can be pasted into the README. Pure."""

from collections.abc import Iterator, Sequence

from tests.bench.results import Results, RowResult, StreamResult
from tests.bench.rounds import Measured

PRODUCT, LINE_ON, REDIS, BARE = "product", "line on", "redis", "bare"


def tables(results: Results) -> Iterator[str]:
    """The report, line by line."""
    yield f"{results.date}, commit {results.commit}, {results.python}, {results.machine}"
    for revision in dict.fromkeys(row.revision for row in results.rows):
        yield ""
        yield f"### Requests, {revision}"
        yield ""
        rows = [row for row in results.rows if row.revision == revision]
        yield "Requests/s:"
        yield ""
        yield from _rows(rows, by_cpu=False)
        yield ""
        yield "The same by processor time a request, which other load on the machine disturbs less:"
        yield ""
        yield from _rows(rows, by_cpu=True)
    if results.workers:
        yield ""
        yield "### Two workers"
        yield ""
        yield from table(("row", "two workers ÷ one"), [(row.row, row.ratio.show()) for row in results.workers])
        if results.two_cores is not None:
            yield ""
            yield f"Two busy loops on two cores ÷ one loop on one, in the same rounds: {results.two_cores.show()}"
    if results.streams:
        yield ""
        yield "### Waiting `generate` streams"
        yield ""
        yield from _streams(results.streams)
    if results.starts:
        yield ""
        yield "### Start"
        yield ""
        starts = [
            (start.server, start.ready.show(), start.cpu_ms.show(0), f"{start.idle_mib:.0f}")
            for start in results.starts
        ]
        yield from table(("server", "s to the first answer", "CPU ms until then", "idle MiB"), starts)
    if results.skipped:
        yield ""
        yield from (f"Not measured: {reason}" for reason in results.skipped)
    yield ""
    yield f"The bench took {results.seconds / 60:.1f} minutes."


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A Markdown table."""
    for row in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(row)} |"


def _rows(rows: Sequence[RowResult], *, by_cpu: bool) -> Iterator[str]:
    """A table of ratios. ``by_cpu``: of µs a request instead of requests/s; above 1 is better in both."""

    def over(measured: dict[str, Measured], name: str, reference: str, digits: int = 2) -> str:
        if name not in measured or reference not in measured:
            return "–"
        own, others = measured[name], measured[reference]
        return (own.cpu_over(others) if by_cpu else own.rate_over(others)).show(digits)

    peers = [name for name in rows[0].measured if name not in {PRODUCT, LINE_ON, REDIS, BARE}]
    first = ("µs: bare, product, line on",) if by_cpu else ("KB",)
    yield from table(
        ["row", *first, "÷ bare", "line on ÷ off", "redis ÷ memory", *(f"line on ÷ {peer}" for peer in peers)],
        [
            [
                row.row,
                ", ".join(f"{row.measured[name].cpu:.0f}" for name in (BARE, PRODUCT, LINE_ON))
                if by_cpu
                else f"{row.size / 1000:.1f}",
                over(row.measured, PRODUCT, BARE),
                over(row.measured, LINE_ON, PRODUCT),
                over(row.measured, REDIS, PRODUCT),
                *(over(row.measured, LINE_ON, peer, digits=1) for peer in peers),
            ]
            for row in rows
        ],
    )


def _streams(results: Sequence[StreamResult]) -> Iterator[str]:
    head = [
        "server",
        "streams",
        "finished",
        "KiB each",
        "CPU ms per stream-minute",
        "CPU ms a stream",
        "delay p50 / p99 / max ms",
        "peak MiB",
        "second wave's peak ÷ first",
        "load's own lag p99 ms",
    ]
    yield from table(
        head,
        [
            [
                result.server,
                f"{first.count:,}",
                "all" if first.finished == first.count else f"{first.finished:,}",
                f"{first.kib_each:.0f}",
                _number(first.cpu_per_stream_minute),
                _number(first.cpu_per_stream),
                " / ".join(_number(delay) for delay in (first.delay_p50, first.delay_p99, first.delay_max)),
                f"{first.peak_mib:.0f}",
                f"{later[0].peak_mib / first.peak_mib:.2f}" if later else "–",
                _number(first.lag_p99),
            ]
            for result in results
            for first, *later in [result.waves]
        ],
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
