"""The one decision whether a POST may go out, case by case."""

from itertools import product

import pytest

from runflow_mcp.runflow.dispatch.attempts import Effect, LookUpResult, may_post

ALLOWED = {
    (Effect.NONE, LookUpResult.NOT_MADE): True,
    (Effect.NONE, LookUpResult.NO_RUN): True,
    (Effect.NONE, LookUpResult.FAILED): True,
    (Effect.NONE, LookUpResult.UNCLEAR): False,
    (Effect.POSSIBLE, LookUpResult.NOT_MADE): False,
    (Effect.POSSIBLE, LookUpResult.NO_RUN): True,
    (Effect.POSSIBLE, LookUpResult.FAILED): False,
    (Effect.POSSIBLE, LookUpResult.UNCLEAR): False,
    (Effect.CERTAIN, LookUpResult.NOT_MADE): False,
    (Effect.CERTAIN, LookUpResult.NO_RUN): False,
    (Effect.CERTAIN, LookUpResult.FAILED): False,
    (Effect.CERTAIN, LookUpResult.UNCLEAR): False,
}


@pytest.mark.parametrize(("effect", "look_up"), list(product(Effect, LookUpResult)))
def test_a_post_may_go_out_only_when_no_run_can_exist(effect: Effect, look_up: LookUpResult) -> None:
    assert may_post(effect, look_up) is ALLOWED[effect, look_up]
