"""The documents against the code: every documented row, path, link and command, and every promised figure.

``python -m tests.test_contract`` rewrites what README.md takes from the code: the settings and the next actions.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
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
from runflow_mcp.methods import listeners
from runflow_mcp.methods.router import TOOLS
from runflow_mcp.methods.tools import arguments, list_models
from runflow_mcp.methods.tools.registry import Tool
from runflow_mcp.methods.waiting import OPEN_AFTER
from runflow_mcp.observability.line_budget import MAX_LINES
from runflow_mcp.protocol.jsonrpc import MAX_BATCH
from runflow_mcp.protocol.revisions import SUPPORTED
from runflow_mcp.runflow.api import responses, transport
from runflow_mcp.runflow.dispatch import attempts, dispatcher, recent
from runflow_mcp.runflow.reading.trimming import MAX_INLINE_MEDIA, MAX_TEXT
from runflow_mcp.runflow.runs.polling import POLL_SCHEDULE, READ_LAG
from runflow_mcp.sandbox.credentials import DISPATCH_ERRORS, REVOKED_KEY
from runflow_mcp.sandbox.scenarios import MAGIC_MODELS, UNAVAILABLE_MODEL
from runflow_mcp.web.body import BODY_TIMEOUT
from runflow_mcp.web.health import STARTUP_GRACE
from runflow_mcp.web.keepalive import KEEPALIVE_INTERVAL
from runflow_mcp.web.reply import WRITE_TIMEOUT

ROOT = Path(__file__).parents[1]
README, DEPLOY, TESTS, HOUSE = "README.md", "deploy/README.md", "tests/README.md", "runflow_mcp/README.md"
DOCUMENTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in (README, DEPLOY, TESTS, HOUSE)}
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
MAX_README_LINES = 320
MAX_PICTURE_BYTES = 60_000
FILES_OF_CLIENTS = {"claude_desktop_config.json"}
REWRITE = "rewrite README.md with: python -m tests.test_contract"


def rows_of(document: str) -> list[list[str]]:
    """Every line of every table, cell by cell, without the marks for code."""
    lines = [line for line in DOCUMENTS[document].splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]


def unfenced(text: str) -> str:
    """A document without its blocks of code."""
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)


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
    "local_file",
    "upload_needed",
    "run_failed",
    "run_cancelled",
    "invalid_arguments",
    "catalog_fetch_failed",
    "generate_failed",
}
COMMANDS = ["serve", "sandbox", "check", "connect", "config"]
TARGETS = ["install", "run", "test", "quick", "check", "conformance", "fuzz"]


# Settings


@pytest.mark.parametrize("row", config_report.as_markdown().splitlines()[2:], ids=lambda row: row.split("`")[1])
def test_the_readme_has_the_row_of_a_setting(row: str) -> None:
    assert row in DOCUMENTS[README].splitlines(), REWRITE


# Errors


@pytest.mark.parametrize("code", REJECTIONS)
def test_the_status_of_a_rejection_is_the_promised_one(code: str) -> None:
    assert HTTP_STATUS[RejectionCode(code)] == REJECTIONS[code], "see HTTP_STATUS in runflow_mcp/errors.py"


def test_every_rejection_has_its_status_in_this_test() -> None:
    codes = {code.value for code in RejectionCode}
    assert codes == set(HTTP_STATUS) == set(REJECTIONS), "write the code into REJECTIONS of tests/test_contract.py"


@pytest.mark.parametrize("code", RejectionCode)
def test_the_readme_has_the_row_of_a_rejection(code: RejectionCode) -> None:
    statuses = [row[1] for row in rows_of(README) if row[0] == code.value and row[1].isdigit()]
    assert statuses == [str(HTTP_STATUS[code])], f"README.md, “Rejected requests”, needs one row for {code.value}"


def test_every_tool_error_of_our_own_is_promised_and_has_a_next_action() -> None:
    assert {code.value for code in ToolErrorCode} == TOOL_ERRORS, "write it into TOOL_ERRORS of tests/test_contract.py"
    assert set(NEXT_ACTION) >= TOOL_ERRORS, "write the code's next action into NEXT_ACTION of runflow_mcp/errors.py"


@pytest.mark.parametrize("code", NEXT_ACTION)
def test_the_readme_has_the_row_of_a_tool_error(code: str) -> None:
    actions = [row[2] for row in rows_of(README) if is_tool_error(row, code)]
    assert len(actions) == 1, f"README.md, “Tool errors”, needs one row for {code}"
    assert actions == [NEXT_ACTION[code]], REWRITE


def is_tool_error(row: list[str], code: str) -> bool:
    return row[0] == code and len(row) == 3 and not row[1].isdigit()


@pytest.mark.parametrize("action", [OTHER_NEXT_ACTION, REFUSED_NEXT_ACTION], ids=["other code", "without a code"])
def test_the_readme_has_the_next_action_of_codes_without_a_row(action: str) -> None:
    assert action in DOCUMENTS[README], f"README.md, below the table of tool errors, needs: {action}"


@pytest.mark.parametrize(
    "action",
    [*NEXT_ACTION.values(), OTHER_NEXT_ACTION, REFUSED_NEXT_ACTION],
    ids=[*NEXT_ACTION, "other code", "without a code"],
)
def test_a_next_action_is_one_imperative_sentence(action: str) -> None:
    assert re.fullmatch(r"[A-Z][a-z]+\b[^.]*\.", action), "reword it in runflow_mcp/errors.py"


# The sandbox, tools and revisions


@pytest.mark.parametrize("key", [*DISPATCH_ERRORS, REVOKED_KEY, "rf_live_sandbox"])
def test_the_tests_document_has_the_row_of_a_sandbox_key(key: str) -> None:
    rows = [row for row in rows_of(TESTS) if row[0] == key]
    assert len(rows) == 1, f"tests/README.md, “The sandbox”, needs one row for {key}"
    if key in DISPATCH_ERRORS:
        assert rows[0][1].startswith(str(DISPATCH_ERRORS[key]().status)), "correct the status in tests/README.md"


@pytest.mark.parametrize("model", [*MAGIC_MODELS, UNAVAILABLE_MODEL])
def test_the_tests_document_has_the_row_of_a_sandbox_model(model: str) -> None:
    names = [row[0] for row in rows_of(TESTS)]
    assert names.count(model) == 1, f"tests/README.md, “The sandbox”, needs one row for {model}"


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_the_readme_has_the_arguments_of_a_tool(tool: Tool) -> None:
    heading = f"### `{call_of(tool)}`"
    assert heading in DOCUMENTS[README].splitlines(), f"README.md, “Tools and prompts”, needs: {heading}"


def call_of(tool: Tool) -> str:
    """A tool as the README's heading has it: ``name(required, with_default=5, optional?)``."""
    schema = tool.definition["inputSchema"]
    required = schema.get("required", ())
    arguments = []
    for name, argument in schema["properties"].items():
        default = f"={orjson.dumps(argument['default']).decode()}" if "default" in argument else "?"
        arguments.append(name if name in required else name + default)
    return f"{tool.name}({', '.join(arguments)})"


def test_the_readme_promises_the_limits_of_list_models() -> None:
    limits = f"{list_models.MIN_LIMIT} to {list_models.MAX_LIMIT}"
    assert limits in DOCUMENTS[README], f"README.md must name the limit of list_models: {limits}"


@pytest.mark.parametrize("revision", SUPPORTED)
def test_the_house_document_names_a_revision(revision: str) -> None:
    assert f"**{revision}**" in DOCUMENTS[HOUSE], f"runflow_mcp/README.md, “Protocol revisions”, needs {revision}"


# Figures


@pytest.mark.parametrize(
    ("figure", "promised"),
    [
        pytest.param(KEEPALIVE_INTERVAL, 15, id="keepalive"),
        pytest.param(OPEN_AFTER, 10, id="stream opens after"),
        pytest.param(READ_LAG, 10, id="read lag"),
        pytest.param(BODY_TIMEOUT, 10, id="body timeout"),
        pytest.param(STARTUP_GRACE, 5, id="unready while starting"),
        pytest.param(POLL_SCHEDULE, ((30, 2), (120, 5), (float("inf"), 10)), id="poll schedule"),
        pytest.param(MAX_BATCH, 50, id="batch entries"),
        pytest.param(bounds.MAX_BODY_VALUES, 20_000, id="JSON values of a body"),
        pytest.param(bounds.MAX_ID_BYTES, 1024, id="bytes of an id"),
        pytest.param(bounds.MAX_ERROR_TEXT, 8192, id="bytes of an error text"),
        pytest.param(MAX_INLINE_MEDIA, 2048, id="inline media"),
        pytest.param(MAX_TEXT, 16 * 1024, id="texts of an output"),
        pytest.param(arguments.MAX_INPUT_DEPTH, 200, id="input depth"),
        pytest.param(transport.MAX_RESPONSE_BYTES, 8 * 1024 * 1024, id="bytes of an upstream answer"),
        pytest.param(responses.MAX_RETRY_AFTER, 60, id="longest Retry-After"),
        pytest.param(attempts.MAX_ATTEMPTS, 3, id="attempts of a dispatch"),
        pytest.param(dispatcher.BUDGET, 45, id="seconds of a dispatch"),
        pytest.param(dispatcher.FOUND_AGE, 5, id="age of a found run"),
        pytest.param(recent.RETENTION, 30, id="seconds a dispatch is remembered"),
        pytest.param(listeners.MAX_SUBSCRIPTIONS, 2000, id="subscriptions"),
        pytest.param(listeners.MAX_PER_KEY, 50, id="subscriptions per key"),
        pytest.param(listeners.MAX_PER_ADDRESS, 200, id="subscriptions per address"),
        pytest.param(WRITE_TIMEOUT, 60, id="seconds to read an answer"),
        pytest.param(MAX_LINES, 50, id="log lines of rejections a second"),
    ],
)
def test_a_figure_is_the_promised_one(figure: object, promised: object) -> None:
    assert figure == promised, "correct the documents, or the constant"


# Commands


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_exists(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: runflow-mcp {command}")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_readme_has_the_row_of_a_command(command: str) -> None:
    rows = [row for row in rows_of(README) if re.match(rf"runflow-mcp {command}\b", row[0])]
    assert len(rows) == 1, f"README.md, “Commands”, needs one row for {command}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_in_a_document_exists(document: str) -> None:
    named = set(re.findall(r"runflow-mcp ([a-z]+)\b", "\n".join(code_of(document))))
    assert named <= set(COMMANDS), f"correct the command in {document}"


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
    assert re.search(rf"^{target}:.*##", MAKEFILE, re.MULTILINE), f"Makefile must have the target {target}"


@pytest.mark.parametrize("target", re.findall(r"^([a-z-]+):.*##", MAKEFILE, re.MULTILINE))
def test_the_tests_document_has_the_row_of_a_make_target(target: str) -> None:
    if target != "help":
        rows = [row[0] for row in rows_of(TESTS)]
        assert f"make {target}" in rows, f"tests/README.md, “Commands”, needs a row for make {target}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_target_in_a_document_exists(document: str) -> None:
    named = set(re.findall(r"\bmake ([a-z-]+)\b", "\n".join(code_of(document))))
    missing = [target for target in named if not re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)]
    assert not missing, f"correct the target in {document}"


# The documents themselves


def code_of(document: str) -> Iterator[str]:
    """What stands in marks for code: the blocks, and the words in the text."""
    text = DOCUMENTS[document]
    yield from re.findall(r"^ *```.*?^ *```", text, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"`([^`]+)`", unfenced(text))


def paths_in(document: str) -> list[str]:
    """The paths of this repository that a document names; paths of other places begin with ``/``, ``.`` or ``~``."""
    files = r"(?:[\w@*-]+/)*[\w@*-][\w@*.-]*\.(?:py|md|lua|conf|yaml|yml|json|txt|toml|service|example|svg)"
    named = re.findall(rf"`((?:[\w@*-]+/)+|{files}|\.ci/run)`", unfenced(DOCUMENTS[document]))
    return sorted(set(named))


@pytest.mark.parametrize(
    ("document", "path"),
    [
        pytest.param(document, path, id=f"{document.partition('/')[0]}-{path.replace('/', '.')}")
        for document in DOCUMENTS
        for path in paths_in(document)
        if path not in FILES_OF_CLIENTS
    ],
)
def test_a_path_in_a_document_exists(document: str, path: str) -> None:
    found = [place for place in (ROOT, (ROOT / document).parent) if any(place.glob(path.rstrip("/")))]
    assert found, f"correct the path {path} in {document}"


@pytest.mark.parametrize(
    "folder",
    [
        path.relative_to(ROOT / "runflow_mcp").as_posix()
        for path in sorted((ROOT / "runflow_mcp").rglob("*"))
        if (path / "__init__.py").is_file() and "sandbox/" not in path.as_posix()
    ],
)
def test_the_map_of_the_rooms_has_every_room(folder: str) -> None:
    assert f"| `{folder}/` |" in DOCUMENTS[HOUSE], f"runflow_mcp/README.md, “Map of the rooms”, needs {folder}/"


def anchors(document: str) -> set[str]:
    """The fragments by which GitHub links to the headings."""
    headings = re.findall(r"^#+ (.+)$", unfenced(DOCUMENTS[document]), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    ("document", "link"),
    [
        pytest.param(document, link, id=f"{document.partition('/')[0]}-{link.replace('/', '.')}")
        for document, text in DOCUMENTS.items()
        for link in sorted(set(re.findall(r"\]\((?!https?:)([^)\s]+)\)", unfenced(text))))
    ],
)
def test_a_link_of_a_document_leads_somewhere(document: str, link: str) -> None:
    path, _, fragment = link.partition("#")
    target = ((ROOT / document).parent / path).resolve() if path else ROOT / document
    assert target.exists(), f"correct the link {link} in {document}"
    if fragment:
        name = target.relative_to(ROOT).as_posix()
        assert fragment in anchors(name), f"{name} has no heading for the link {link} in {document}"


@pytest.mark.parametrize("document", [DEPLOY, TESTS, HOUSE])
def test_the_readme_links_to_a_document(document: str) -> None:
    assert f"]({document}" in DOCUMENTS[README], f"README.md, “More”, must link to {document}"


def test_the_readme_stays_short() -> None:
    lines = len(DOCUMENTS[README].splitlines())
    assert lines <= MAX_README_LINES, f"move {lines - MAX_README_LINES} lines of README.md to the other documents"


@pytest.mark.parametrize(
    ("picture", "command"),
    [
        ("deploy/images/terminal.svg", "python -m tests.deploy.terminal_picture"),
        ("deploy/images/result-view.webp", "python -m tests.browser.pictures"),
        ("deploy/images/page.webp", "python -m tests.browser.pictures"),
    ],
)
def test_a_picture_of_the_readme_is_small(picture: str, command: str) -> None:
    assert f"]({picture})" in DOCUMENTS[README]
    assert (ROOT / picture).stat().st_size < MAX_PICTURE_BYTES, f"make it again with: {command}"


def rewritten(text: str) -> str:
    """The README with the settings and the next actions as the code has them."""
    table = r"^\| name \| type \| default \| meaning \|\n(?:\|.*\n)+"
    text = re.sub(table, lambda _: f"{config_report.as_markdown()}\n", text, flags=re.MULTILINE)
    lines = []
    for line in text.splitlines():
        cells = line.split(" | ")
        code = cells[0].strip("| `")
        is_action = len(cells) == 3 and code in NEXT_ACTION and not cells[1].isdigit()
        lines.append(" | ".join([*cells[:2], f"{NEXT_ACTION[code]} |"]) if is_action else line)
    return "\n".join(lines) + "\n"


def test_rewriting_the_readme_changes_nothing() -> None:
    assert rewritten(DOCUMENTS[README]) == DOCUMENTS[README], REWRITE


if __name__ == "__main__":
    (ROOT / README).write_text(rewritten(DOCUMENTS[README]), encoding="utf-8")
