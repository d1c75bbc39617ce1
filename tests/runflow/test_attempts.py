"""The one decision whether a POST may go out, case by case."""

from itertools import product

import pytest

from runflow_mcp.runflow.dispatch.attempts import Reached, Shown, may_post

ALLOWED = {
    (Reached.NOTHING, Shown.NOT_ASKED): True,
    (Reached.NOTHING, Shown.NONE): True,
    (Reached.NOTHING, Shown.FAILED): True,
    (Reached.NOTHING, Shown.UNCLEAR): False,
    (Reached.MAYBE, Shown.NOT_ASKED): False,
    (Reached.MAYBE, Shown.NONE): True,
    (Reached.MAYBE, Shown.FAILED): False,
    (Reached.MAYBE, Shown.UNCLEAR): False,
    (Reached.ANSWERED, Shown.NOT_ASKED): False,
    (Reached.ANSWERED, Shown.NONE): False,
    (Reached.ANSWERED, Shown.FAILED): False,
    (Reached.ANSWERED, Shown.UNCLEAR): False,
}


@pytest.mark.parametrize(("reached", "shown"), list(product(Reached, Shown)))
def test_a_post_may_go_out_only_when_no_run_can_exist(reached: Reached, shown: Shown) -> None:
    assert may_post(reached, shown) is ALLOWED[reached, shown]
