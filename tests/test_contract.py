"""The documented rows, one test each: what the README says, what the code says, and what is promised outside."""

import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

from runflow_mcp import bounds
from runflow_mcp.cli import config_report
from runflow_mcp.cli import main as cli
from runflow_mcp.errors import (
    HTTP_STATUS,
    NEXT_ACTION,
    OTHER_NEXT_ACTION,
    REFUSED_NEXT_ACTION,
    RejectionCode,
    ToolErrorCode,
)
from runflow_mcp.methods.tools import arguments, list_models
from runflow_mcp.methods.waiting import OPEN_AFTER
from runflow_mcp.protocol.jsonrpc import MAX_BATCH
from runflow_mcp.runflow.api import responses, transport
from runflow_mcp.runflow.dispatch import attempts, dispatcher, recent
from runflow_mcp.runflow.reading.trimming import MAX_INLINE_MEDIA, MAX_TEXT
from runflow_mcp.runflow.runs.polling import POLL_SCHEDULE, READ_LAG
from runflow_mcp.sandbox.credentials import DISPATCH_ERRORS, REVOKED_KEY
from runflow_mcp.sandbox.scenarios import MAGIC_MODELS, UNAVAILABLE_MODEL
from runflow_mcp.settings.config import Config
from runflow_mcp.web.body import BODY_TIMEOUT
from runflow_mcp.web.health import STARTING
from runflow_mcp.web.keepalive import KEEPALIVE_INTERVAL

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
#: Every line of every table, cell by cell, without the marks for code.
ROWS = [
    [cell.strip().strip("`") for cell in line.strip("|").split("|")]
    for line in README.splitlines()
    if line.startswith("|")
]

DEFAULTS = {
    "MCP_HOST": "127.0.0.1",
    "MCP_PORT": "8080",
    "MCP_PUBLIC_URL": "",
    "MCP_ALLOWED_HOSTS": "",
    "MCP_ALLOWED_ORIGINS": "",
    "MCP_MAX_BODY_BYTES": "262144",
    "MCP_ACCEPTED_KEY_PREFIXES": "rf_live",
    "MCP_POLL_TIMEOUT_MS": "600000",
    "MCP_RATE_LIMIT_WINDOW_MS": "60000",
    "MCP_RATE_LIMIT_PRE_AUTH_PER_IP": "30",
    "MCP_RATE_LIMIT_PER_IP": "120",
    "MCP_RATE_LIMIT_PER_KEY": "600",
    "MCP_RATE_LIMIT_STORE": "memory://",
    "MCP_TRUSTED_PROXIES": "",
    "MCP_MAX_WAITS": "5000",
    "MCP_MAX_WAITS_PER_KEY": "1000",
    "MCP_CATALOG_TTL_MS": "300000",
    "MCP_SHUTDOWN_GRACE_MS": "10000",
    "MCP_LOG_LEVEL": "info",
    "MCP_LOG_FORMAT": "auto",
    "RUNFLOW_API_URL": "https://api.runflow.io",
    "RUNFLOW_CATALOG_URL": "https://www.runflow.io/models-catalog.json",
    "RUNFLOW_SKILL_URL": "https://www.runflow.io/.well-known/agent-skills/runflow/SKILL.md",
    "RUNFLOW_TIMEOUT_MS": "30000",
    "HTTPS_PROXY": "",
    "HTTP_PROXY": "",
    "NO_PROXY": "",
    "SSL_CERT_FILE": "",
}
REJECTIONS = {
    "bad_request": 400,
    "host_rejected": 403,
    "origin_rejected": 403,
    "body_too_large": 413,
    "body_timeout": 408,
    "unsupported_media_type": 415,
    "head_too_large": 431,
    "missing_authorization": 401,
    "malformed_authorization": 401,
    "rate_limited": 429,
}
TOOL_ERRORS = {
    "polling_timeout",
    "server_draining",
    "server_busy",
    "insufficient_credits",
    "unauthorized",
    "model_not_found",
    "run_failed",
    "run_cancelled",
    "invalid_arguments",
    "catalog_fetch_failed",
    "generate_failed",
}
COMMANDS = ["serve", "sandbox", "check", "config"]
TARGETS = ["install", "run", "test", "check", "conformance", "fuzz"]


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_default_of_a_setting(name: str) -> None:
    defaults = {row[0]: row[2] for row in Config().table()}
    assert defaults[name] == DEFAULTS[name]


def test_there_are_no_settings_beside_these() -> None:
    assert [row[0] for row in Config().table()] == list(DEFAULTS)


@pytest.mark.parametrize("row", config_report.as_markdown().splitlines()[2:], ids=lambda row: row.split("`")[1])
def test_the_readme_has_the_row_of_a_setting(row: str) -> None:
    assert row in README.splitlines()


@pytest.mark.parametrize("code", REJECTIONS)
def test_the_status_of_a_rejection(code: str) -> None:
    assert HTTP_STATUS[RejectionCode(code)] == REJECTIONS[code]


def test_there_are_no_rejections_beside_these() -> None:
    assert {code.value for code in RejectionCode} == set(HTTP_STATUS) == set(REJECTIONS)


@pytest.mark.parametrize("code", RejectionCode)
def test_the_readme_has_the_row_of_a_rejection(code: RejectionCode) -> None:
    statuses = [row[1] for row in ROWS if row[0] == code.value and row[1].isdigit()]
    assert statuses == [str(HTTP_STATUS[code])]


def test_there_are_no_own_tool_errors_beside_the_promised() -> None:
    assert {code.value for code in ToolErrorCode} == TOOL_ERRORS
    assert set(NEXT_ACTION) >= TOOL_ERRORS


@pytest.mark.parametrize("code", NEXT_ACTION)
def test_the_readme_has_the_row_of_a_tool_error(code: str) -> None:
    actions = [row[2] for row in ROWS if row[0] == code and len(row) == 3 and not row[1].isdigit()]
    assert actions == [NEXT_ACTION[code]]


def test_the_readme_has_the_next_action_of_all_other_codes() -> None:
    assert OTHER_NEXT_ACTION in README


def test_the_readme_has_the_next_action_of_a_refusal_without_a_code() -> None:
    assert REFUSED_NEXT_ACTION in README


@pytest.mark.parametrize("action", [*NEXT_ACTION.values(), OTHER_NEXT_ACTION, REFUSED_NEXT_ACTION])
def test_a_next_action_is_one_imperative_sentence(action: str) -> None:
    assert re.fullmatch(r"[A-Z][a-z]+\b[^.]*\.", action)


@pytest.mark.parametrize("key", [*DISPATCH_ERRORS, REVOKED_KEY, "rf_live_sandbox"])
def test_the_readme_has_the_row_of_a_sandbox_key(key: str) -> None:
    [row] = [row for row in ROWS if row[0] == key]
    if key in DISPATCH_ERRORS:
        assert row[1].startswith(str(DISPATCH_ERRORS[key]().status))


@pytest.mark.parametrize("model", [*MAGIC_MODELS, UNAVAILABLE_MODEL])
def test_the_readme_has_the_row_of_a_sandbox_model(model: str) -> None:
    assert [row[0] for row in ROWS].count(model) == 1


@pytest.mark.parametrize("name", ["generate(model, input, wait=true, client_ref?)"])
def test_the_readme_has_the_arguments_of_generate(name: str) -> None:
    assert f"### `{name}`" in README


def test_the_readme_has_the_arguments_of_list_models() -> None:
    assert f"### `list_models(category?, provider?, query?, limit={list_models.DEFAULT_LIMIT})`" in README
    assert (list_models.MIN_LIMIT, list_models.MAX_LIMIT) == (1, 200)


@pytest.mark.parametrize(
    ("figure", "promised"),
    [
        (KEEPALIVE_INTERVAL, 15),
        (OPEN_AFTER, 10),
        (READ_LAG, 10),
        (BODY_TIMEOUT, 10),
        (STARTING, 5),
        (POLL_SCHEDULE, ((30, 2), (120, 5), (math.inf, 10))),
        (MAX_BATCH, 50),
        (bounds.MAX_VALUES, 20_000),
        (bounds.MAX_ID_BYTES, 1024),
        (bounds.MAX_ERROR_TEXT, 8192),
        (MAX_INLINE_MEDIA, 2048),
        (MAX_TEXT, 16 * 1024),
        (arguments.MAX_INPUT_DEPTH, 200),
        (transport.MAX_RESPONSE_BYTES, 8 * 1024 * 1024),
        (responses.MAX_RETRY_AFTER, 60),
        (attempts.MAX_ATTEMPTS, 3),
        (dispatcher.BUDGET, 45),
        (dispatcher.FOUND_AGE, 5),
        (recent.KEPT, 30),
    ],
)
def test_a_promised_figure(figure: object, promised: object) -> None:
    assert figure == promised


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_exists(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: runflow-mcp {command}")


def test_the_package_runs_as_a_module() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "runflow_mcp", "config", "--markdown"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == config_report.as_markdown()


@pytest.mark.parametrize("target", TARGETS)
def test_a_make_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:.*##", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("row", [row for row in ROWS if row[0].startswith("make ")], ids=lambda row: row[0])
def test_a_make_target_of_the_readme_exists(row: list[str]) -> None:
    assert re.search(rf"^{row[0].removeprefix('make ')}:", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`(runflow_mcp/[\w./]*|tests/)`", README))))
def test_a_path_of_the_readme_exists(path: str) -> None:
    assert (ROOT / path).exists()
