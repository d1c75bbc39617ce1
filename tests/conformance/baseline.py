"""What the suite found, judged against the list of what cannot apply to this server. Pure but for reading files.

An entry is ``scenario:check-id``, in the suite's own format, and carries its reason on the lines above it. Whole
scenarios are not accepted: their other checks, ``wire-schema-valid`` above all, stay enforced.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import attrs
import orjson

#: As the suite's own baseline has it: a warning that is not expected fails the run too.
FAILED = frozenset({"FAILURE", "WARNING"})
PASSED = "SUCCESS"
#: How a reason ends that leaves the check to another run.
ELSEWHERE = "Passes with fixtures."
WIRE = "wire-schema-valid"
_ENTRY = re.compile(r"  - ([a-z0-9-]+:\S+)")
_REASON = re.compile(r"  # (\S.*)")
_FOLDER = re.compile(r"server-(.+)-\d{4}-\d\d-\d\dT[\dTZ.-]+")


class BaselineError(Exception):
    """The baseline file cannot be used."""


@attrs.frozen
class Check:
    """One check of one scenario; ids may occur more than once."""

    scenario: str
    id: str
    status: str
    message: str = ""

    @property
    def name(self) -> str:
        """As a baseline entry names it."""
        return f"{self.scenario}:{self.id}"


@attrs.frozen
class Decision:
    """A run against its baseline."""

    passed: list[Check]
    #: Failed, and not on the list.
    unexpected: list[Check]
    #: Failed, and on the list.
    expected: list[Check]
    #: On the list, and no longer failing (or no longer run).
    stale: list[str]


def read_baseline(text: str) -> dict[str, str]:
    """Entry → reason. Raises ``BaselineError`` for an entry without a reason, or twice, or of another shape."""
    entries: dict[str, str] = {}
    reason: list[str] = []
    spent = False
    for number, line in enumerate(text.splitlines(), 1):
        if line == "server:" or not line.strip() or line.startswith("#"):
            reason, spent = [], False
        elif words := _REASON.fullmatch(line):
            reason = [words[1]] if spent else [*reason, words[1]]
            spent = False
        elif (found := _ENTRY.fullmatch(line)) and reason and found[1] not in entries:
            entries[found[1]] = " ".join(reason)
            spent = True
        else:
            raise BaselineError(f"line {number}: expected a reason, then '  - scenario:check-id', once each: {line!r}")
    return entries


def read_checks(results: Path) -> list[Check]:
    """Every check that a run wrote below its output folder."""
    checks: list[Check] = []
    for file in sorted(results.glob("*/checks.json")):
        folder = _FOLDER.fullmatch(file.parent.name)
        if folder is None:
            raise BaselineError(f"{file.parent.name} is not named as the suite names its results")
        for entry in orjson.loads(file.read_bytes()):
            message = entry.get("errorMessage") or entry.get("description") or ""
            checks.append(Check(folder[1], entry["id"], entry["status"], message))
    return checks


def judge(checks: Iterable[Check], baseline: Mapping[str, str]) -> Decision:
    """Sort a run's checks; infos and skipped ones count nowhere."""
    decision = Decision([], [], [], [])
    met = set()
    for check in checks:
        if check.status == PASSED:
            decision.passed.append(check)
        elif check.status in FAILED and check.name in baseline:
            met.add(check.name)
            decision.expected.append(check)
        elif check.status in FAILED:
            decision.unexpected.append(check)
    decision.stale.extend(entry for entry in baseline if entry not in met)
    return decision


def unkept(baseline: Mapping[str, str], with_fixtures: Decision) -> list[str]:
    """Entries that say they pass with fixtures, and do not: nothing of their scenario but the wire passed there."""
    passed = {check.scenario for check in with_fixtures.passed if check.id != WIRE}
    failed = {check.name for check in (*with_fixtures.unexpected, *with_fixtures.expected)}
    claims = [entry for entry, reason in baseline.items() if reason.endswith(ELSEWHERE)]
    return [entry for entry in claims if entry in failed or entry.partition(":")[0] not in passed]
