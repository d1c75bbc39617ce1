"""What an upstream status means: the rows of the one table, and the statuses without a row."""

import pytest

from runflow_mcp.runflow.api.errors import Meaning, Outcome, meaning_of

REFUSED, BUSY, UNKNOWN = Outcome.REFUSED, Outcome.BUSY, Outcome.UNKNOWN
#: statuses → what each of them says
MEANINGS = {
    (200, 201, 299): Meaning(outcome=UNKNOWN),
    (300, 302, 307, 400, 405, 410, 418, 422, 451): Meaning(outcome=REFUSED),
    (303, 409): Meaning(outcome=REFUSED, exists=True),
    (401,): Meaning(outcome=REFUSED, final=True, key_accepted=False, code="unauthorized"),
    (402,): Meaning(outcome=REFUSED, code="insufficient_credits"),
    (403,): Meaning(outcome=REFUSED, final=True),
    (404,): Meaning(outcome=REFUSED, final=True, missing=True),
    (408, 500, 502, 504, 524, None): Meaning(outcome=UNKNOWN, key_accepted=None),
    (429, 503): Meaning(outcome=BUSY, key_accepted=None),
}


@pytest.mark.parametrize(
    ("status", "meaning"), [(status, meaning) for statuses, meaning in MEANINGS.items() for status in statuses]
)
def test_a_status_has_one_meaning(status: int | None, meaning: Meaning) -> None:
    assert meaning_of(status) == meaning
