"""Checks of the conformance suite against a baseline: what fails the run, and what a baseline must look like."""

from pathlib import Path

import pytest

from tests.conformance.baseline import BaselineError, Check, Decision, judge, read_baseline, unkept

REASON = "It cannot be."
ENTRY = {"ping:pong": REASON}


def judged(*statuses: str, baseline: dict[str, str] = ENTRY) -> Decision:
    return judge([Check("ping", "pong", status) for status in statuses], baseline)


@pytest.mark.parametrize("status", ["FAILURE", "WARNING"])
def test_a_failure_that_is_not_in_the_baseline_is_unexpected(status: str) -> None:
    assert [check.name for check in judged(status, baseline={}).unexpected] == ["ping:pong"]


@pytest.mark.parametrize("status", ["FAILURE", "WARNING"])
def test_a_failure_in_the_baseline_is_expected(status: str) -> None:
    found = judged(status)
    assert (len(found.expected), found.unexpected, found.stale) == (1, [], [])


@pytest.mark.parametrize("statuses", [("SUCCESS",), ("SKIPPED",), ("INFO",), ()])
def test_an_entry_that_does_not_fail_is_stale(statuses: tuple[str, ...]) -> None:
    assert judged(*statuses).stale == ["ping:pong"]


def test_an_entry_accepts_its_own_check_only() -> None:
    found = judge([Check("ping", "pong", "FAILURE"), Check("ping", "wire-schema-valid", "FAILURE")], ENTRY)
    assert [check.id for check in found.unexpected] == ["wire-schema-valid"]


def test_a_reason_applies_to_the_entries_below_it() -> None:
    text = "# Title\nserver:\n  # It cannot\n  # be.\n  - ping:pong\n  - ping:ping\n  # Other.\n  - a:b\n"
    assert read_baseline(text) == {"ping:pong": "It cannot be.", "ping:ping": "It cannot be.", "a:b": "Other."}


@pytest.mark.parametrize(
    "text",
    [
        "server:\n  - ping:pong\n",
        "server:\n  # Whole scenarios hide what else breaks in them.\n  - ping\n",
        "server:\n  # Twice.\n  - ping:pong\n  - ping:pong\n",
        "server:\n  # A space too many.\n  - ping: pong\n",
    ],
)
def test_a_baseline_without_reasons_or_with_whole_scenarios_is_an_error(text: str) -> None:
    with pytest.raises(BaselineError):
        read_baseline(text)


def test_an_entry_that_claims_to_pass_with_fixtures_must_do_so() -> None:
    claim = {"ping:pong": "No tool. Passes with fixtures."}
    wire = Check("ping", "wire-schema-valid", "SUCCESS")
    assert unkept(claim, judge([wire, Check("ping", "other", "SUCCESS")], {})) == []
    assert unkept(claim, judge([wire], {})) == ["ping:pong"]
    assert unkept(claim, judge([wire, Check("ping", "pong", "FAILURE")], ENTRY)) == ["ping:pong"]


@pytest.mark.parametrize("file", sorted(Path(__file__).parent.glob("baseline-*.yml")), ids=lambda file: file.stem)
def test_every_baseline_can_be_read(file: Path) -> None:
    assert read_baseline(file.read_text())
