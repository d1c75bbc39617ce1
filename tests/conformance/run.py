"""``python -m tests.conformance.run``: the conformance suite against the real server, in every revision it knows.

Each revision runs twice: against the server with the suite's fixtures, and against the product as it is. A check
that fails must stand in the run's baseline with its reason, and an entry that no longer fails must go.
"""

import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sized
from contextlib import AsyncExitStack
from pathlib import Path

import attrs

from tests.conformance.baseline import BaselineError, Check, Decision, judge, read_baseline, read_checks, unkept
from tests.conformance.servers import FIXTURES, PRODUCT, run_server
from tests.conformance.suite import Ended, Suite, SuiteError, install
from tests.server_process import NotReadyError

HERE = Path(__file__).parent
#: Runs at a time: some checks allow a stream half a second, so the processors must not be overloaded.
AT_ONCE = 2


@attrs.frozen
class Run:
    """One invocation of the suite. ``scenarios``: how many it must be, so that none is lost unnoticed.

    ``only``: a scenario of an extension, which runs alone and has no baseline. ``passing``: how many of its checks
    must pass, since the suite skips them all where the server does not declare the extension.
    """

    revision: str
    server: tuple[str, ...]
    scenarios: int
    only: str | None = None
    passing: int = 0

    @property
    def name(self) -> str:
        server = "with fixtures" if self.server is FIXTURES else "the product alone"
        return f"{self.revision} {server}{f', {self.only}' if self.only else ''}"

    @property
    def selection(self) -> tuple[str, str]:
        """A frozen set of requirements, where the suite has one for the revision."""
        frozen = self.only is None and self.revision != "2025-06-18"
        return ("--requirements" if frozen else "--spec-version", self.revision)

    @property
    def baseline(self) -> Path | None:
        if self.only is not None:
            return None
        return HERE / f"baseline-{self.revision}-{'fixtures' if self.server is FIXTURES else 'product'}.yml"

    @property
    def reasons(self) -> dict[str, str]:
        return {} if self.baseline is None else read_baseline(self.baseline.read_text())


SCENARIOS = {"2025-06-18": 27, "2025-11-25": 33, "2026-07-28": 50}
#: scenario of the skills extension → how many checks pass in every revision. The one about directories is skipped but
#: for the wire: reading them is optional.
SKILLS = {"sep-2640-skills-enumeration": 30, "sep-2640-skills-manifest": 6, "sep-2640-skills-directory": 1}
# The slowest first.
RUNS = [
    Run(revision, server, SCENARIOS[revision]) for revision in reversed(SCENARIOS) for server in (FIXTURES, PRODUCT)
] + [Run(revision, PRODUCT, 1, only, passing) for revision in SCENARIOS for only, passing in SKILLS.items()]


@attrs.frozen
class Report:
    """What came out of one run; ``errors`` are those of the run itself."""

    run: Run
    checks: list[Check]
    decision: Decision
    errors: list[str]
    seconds: float


def _report(run: Run, ended: Ended, results: Path, seconds: float) -> Report:
    checks = read_checks(results)
    decision = judge(checks, run.reasons)
    errors = []
    reported = ended.scenarios
    if len(reported) != run.scenarios:
        errors.append(f"the suite ran {len(reported)} scenarios, not {run.scenarios}")
    for scenario, (passed, failed) in reported.items():
        statuses = Counter(check.status for check in checks if check.scenario == scenario)
        if (statuses["SUCCESS"], statuses["FAILURE"]) != (passed, failed):
            errors.append(f"{scenario}: the suite reports {passed} passed, {failed} failed; its checks differ")
    if len(decision.passed) < run.passing:
        errors.append(
            f"{len(decision.passed)} checks passed, not {run.passing}: does the server declare the extension?"
        )
    if errors or (ended.code and not decision.unexpected and not decision.stale):
        errors.append("\n".join([f"the suite ended with {ended.code} and printed:", *ended.output.splitlines()[-20:]]))
    return Report(run, checks, decision, errors, seconds)


def _print(report: Report) -> None:
    decision = report.decision
    skipped = [check for check in report.checks if check.status == "SKIPPED"]
    columns = {
        "passed": decision.passed,
        "FAILED": decision.unexpected,
        "in the baseline": decision.expected,
        "skipped": skipped,
    }
    _say(f"\n{report.run.name}: {report.run.scenarios} scenarios, {_counts(columns)} ({report.seconds:.0f} s)")
    for scenario in dict.fromkeys(check.scenario for check in report.checks):
        own = {word: [check for check in found if check.scenario == scenario] for word, found in columns.items()}
        _say(f"  {scenario:46} {_counts(own) or 'nothing to judge'}")
    for check in decision.expected:
        if check.status == "WARNING":
            _say(f"  warning, in the baseline: {check.name}: {check.message}")
    for check in decision.unexpected:
        _say(f"  FAILED ({check.status.lower()}): {check.name}: {check.message}")
    baseline = "its baseline" if report.run.baseline is None else report.run.baseline.name
    for entry in decision.stale:
        _say(f"  FAILED: {entry} is in {baseline}, but does not fail: remove it")
    for error in report.errors:
        _say(f"  FAILED: {error}")


def _counts(columns: Mapping[str, Sized]) -> str:
    return ", ".join(f"{len(found)} {word}" for word, found in columns.items() if len(found))


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a command


async def _run_all(suite: Suite, work: Path) -> list[Report]:
    gate = asyncio.Semaphore(AT_ONCE)
    async with AsyncExitStack() as stack:
        servers = {}
        for number, module in enumerate((FIXTURES, PRODUCT)):
            folder = work / f"server-{number}"
            folder.mkdir()
            servers[module] = await stack.enter_async_context(run_server(module, folder))

        async def play(number: int, run: Run) -> Report:
            async with gate:
                started = time.monotonic()
                results = work / f"run-{number}"
                ended = await suite.run(servers[run.server].url, run.selection, run.baseline, results, only=run.only)
                return _report(run, ended, results, time.monotonic() - started)

        reports = await asyncio.gather(*(play(number, run) for number, run in enumerate(RUNS)))
    decisions = {
        (report.run.revision, report.run.server): report.decision for report in reports if report.run.only is None
    }
    for report in reports:
        report.errors.extend(servers[report.run.server].errors)
        report.errors.extend(
            f"{entry} does not pass with fixtures, although the baseline says so"
            for entry in unkept(report.run.reasons, decisions[report.run.revision, FIXTURES])
        )
    return sorted(reports, key=lambda report: report.run.name)


def failures(report: Report) -> tuple[Sized, Sized, Sized]:
    return report.decision.unexpected, report.decision.stale, report.errors


def main() -> int:
    started = time.monotonic()
    try:
        suite = install()
        with tempfile.TemporaryDirectory(prefix="conformance-") as work:
            reports = asyncio.run(_run_all(suite, Path(work)))
    except (SuiteError, NotReadyError, BaselineError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    for report in reports:
        _print(report)
    passed = sum(len(report.decision.passed) for report in reports)
    expected = sum(len(report.decision.expected) for report in reports)
    failed = sum(len(found) for report in reports for found in failures(report))
    _say(f"\n{expected} failures are in the baselines, each with its reason; {time.monotonic() - started:.0f} s")
    _say(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
