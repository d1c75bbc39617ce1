"""How log lines look to people: in columns, in colour on a terminal only, and without what is empty."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from runflow_mcp.observability import logs
from runflow_mcp.settings.config import Config
from tests.eventually import PATIENCE

REQUEST = {"request_id": "abc", "http_method": "POST", "route": "/mcp", "status": 200, "rpc": "tools/list", "key": None}


@contextmanager
def console(path: Path, *, colors: bool = False) -> Iterator[structlog.typing.FilteringBoundLogger]:
    config = Config.from_mapping({"MCP_LOG_FORMAT": "console"})
    with (
        path.open("wb") as file,
        logs.configured(config, file.fileno(), terminal=False, colors=colors) as sink,
    ):
        yield structlog.get_logger("test")
        assert sink.flush(PATIENCE)


def test_access_lines_have_their_figures_in_columns(tmp_path: Path) -> None:
    with console(tmp_path / "log") as log:
        log.info("request", **REQUEST, ms=0.71, outcome="ok")
        log.info("request", **(REQUEST | {"rpc": "tools/call", "tool": "generate"}), ms=71_040.0, outcome="run_failed")
        log.info("request", request_id="abc", status=400, outcome="bad_request")
        log.info("request", **(REQUEST | {"rpc": None, "route": None}), ms=1.0, outcome="not_found")
    lines = (tmp_path / "log").read_text().splitlines()
    assert [re.sub(r"^[\d:]{8} ", "", line) for line in lines] == [
        "[info     ] request 200 ok                     tools/list                      0.7 ms request_id=abc",
        "[info     ] request 200 run_failed             tools/call generate             71.0 s request_id=abc",
        "[info     ] request 400 bad_request            (no HTTP request)                      request_id=abc",
        "[info     ] request 200 not_found              POST (unknown path)             1.0 ms request_id=abc",
    ]


def test_other_lines_keep_the_order_of_their_members_and_leave_out_what_is_empty(tmp_path: Path) -> None:
    with console(tmp_path / "log") as log:
        log.warning("upstream_retry", operation="get_run", status=None, attempt=1, pause=0.5)
        log.debug("unseen")
    [line] = (tmp_path / "log").read_text().splitlines()
    assert line.endswith("[warning  ] upstream_retry       operation=get_run attempt=1 pause=0.5")


def test_a_value_cannot_begin_a_line_of_its_own(tmp_path: Path) -> None:
    with console(tmp_path / "log") as log:
        log.info("request", **(REQUEST | {"client": "a\n21:00:00 [info] forged"}), ms=1.0, outcome="ok")
    assert len((tmp_path / "log").read_text().splitlines()) == 1


def test_lines_have_colours_on_a_terminal_that_wants_them(tmp_path: Path) -> None:
    for colors in (True, False):
        with console(tmp_path / "log", colors=colors) as log:
            log.info("request", **REQUEST, ms=1.0, outcome="ok")
        assert ("\x1b[" in (tmp_path / "log").read_text()) is colors
