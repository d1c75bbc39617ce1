"""The lines of a JSON log, rendered alone and together."""

import json
import logging
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from runflow_mcp.observability.json_lines import JSONLines
from tests.virtual_time import EPOCH, VirtualClock

TIMESTAMP = f"{datetime.fromtimestamp(EPOCH, UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
MEMBERS: list[dict[str, Any]] = [
    {"status": 200},
    {"status": 200, "client": 'quotes " and \\ and line\nfeeds', "key": None},
    {"client": "half a pair: \ud83d"},
    {"run_id": "ä€😀", "ms": 0.5},
]


@pytest.mark.parametrize("common", [{}, {"process": 12}], ids=["one process", "a worker"])
async def test_lines_rendered_together_are_the_same_as_one_by_one(common: dict[str, Any]) -> None:
    lines = JSONLines(logging.INFO, VirtualClock(), common)
    together = lines.render_many("request", "info", MEMBERS).splitlines(keepends=True)
    alone = [lines.render("request", "info", members) for members in MEMBERS]
    assert list(map(json.loads, together)) == list(map(json.loads, alone))
    assert all(line.endswith(b"\n") for line in together)
    assert (
        json.loads(together[1]) == {"timestamp": TIMESTAMP, "level": "info", "event": "request"} | common | MEMBERS[1]
    )


async def test_a_value_that_contains_itself_costs_the_rest_of_its_line() -> None:
    value: list[Any] = []
    value.append(value)
    line = JSONLines(logging.INFO, VirtualClock()).render("unusual", "info", {"value": value})
    assert orjson.loads(line) == {"event": "log_line_not_serializable", "line": "'unusual'"}
    assert line.endswith(b"\n")
