"""What a waiting call keeps of its run: all of an ordinary run, and little of any other."""

from typing import Any

import orjson
import pytest

from runflow_mcp.methods.run_state import MAX_KEPT, RunState
from runflow_mcp.runflow.runs.run import parse_run

RUN = {"id": "r-1", "status_code": "running", "client_ref": "c", "metadata": {"a": [1, {"b": None}]}, "nodes_total": 7}


def kept(**members: object) -> Any:
    run = parse_run({**RUN, **members})
    assert run is not None
    return orjson.loads(RunState.of(run).json)


def test_an_ordinary_run_is_kept_whole() -> None:
    assert kept(input={"prompt": "x"}) == RUN


def nested(levels: int) -> list[Any]:
    return [] if levels == 0 else [nested(levels - 1)]


@pytest.mark.parametrize(
    ("name", "value", "note"),
    [
        ("context", "data:image/png;base64," + "A" * 3000, "left out"),
        ("context", "word " * 5000, "cut here"),
        ("context", ["word"] * 5000, "more left out"),
        ("context", nested(120), "nested too deeply"),
        ("context", nested(250), "nested too deeply"),
    ],
    ids=["media", "text", "list", "deep", "deeper"],
)
def test_what_is_too_long_or_too_deep_is_cut_with_a_note(name: str, value: object, note: str) -> None:
    shown = kept(**{name: value})
    assert shown["id"] == "r-1"
    assert note in orjson.dumps(shown[name]).decode()


def test_of_many_small_members_only_some_are_kept() -> None:
    run = parse_run({**RUN, **{f"member{number}": "x" * 100 for number in range(150)}})
    assert run is not None
    assert len(RunState.of(run).json) < 2 * MAX_KEPT
