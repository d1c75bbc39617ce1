"""``runflow-mcp connect``: the clients it lists, what it prints for each of them, and which URL it fills in."""

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import orjson
import pytest

from runflow_mcp.cli import main as cli
from runflow_mcp.client_recipes import recipes
from tests.server_process import clean_environment

URL = "https://mcp.example.com/mcp"
NAMES = ["claude-code", "claude-desktop", "claude.ai", "cursor", "vscode", "codex", "gemini-cli", "mcp-remote"]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A working directory without ``.env`` and an environment without settings."""
    for name in set(os.environ) - set(clean_environment()):
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def printed(capsys: Capture, *arguments: str) -> str:
    assert cli.main(["connect", *arguments]) == 0
    return capsys.readouterr().out


def file_in(text: str) -> str:
    """The file that was printed: the last indented block."""
    [*_, block] = re.findall(r"(?:^  .*\n)+", text, re.MULTILINE)
    return re.sub(r"^  ", "", str(block), flags=re.MULTILINE)


def test_without_a_name_every_client_is_listed(capsys: Capture) -> None:
    text = printed(capsys)
    assert [line.split()[0] for line in text.splitlines() if line.startswith("  ")] == NAMES
    assert "http://127.0.0.1:8080/mcp" in text


@pytest.mark.parametrize("name", NAMES)
def test_a_client_is_connected_to_the_url_and_without_a_key(capsys: Capture, name: str) -> None:
    text = printed(capsys, name, "--url", URL)
    [recipe] = [recipe for recipe in recipes(URL) if recipe.name == name]
    for part in (recipe.shell, recipe.install_link, recipe.file and recipe.file.content, "\n".join(recipe.steps)):
        assert all(f"  {line}\n" in text for line in (part or "").splitlines())
    assert recipe.key in text
    assert recipe.check in text
    assert "rf_live" not in text


@pytest.mark.parametrize(
    ("name", "first"),
    [("claude-code", "  claude mcp add "), ("vscode", "  code --add-mcp "), ("cursor", "  cursor://")],
)
def test_a_command_or_link_comes_before_the_file(capsys: Capture, name: str, first: str) -> None:
    text = printed(capsys, name)
    assert text.index(first) < text.index("  {\n")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("claude-code", ("mcpServers", "runflow", "url")),
        ("claude-desktop", ("mcpServers", "runflow", "args")),
        ("cursor", ("mcpServers", "runflow", "url")),
        ("vscode", ("servers", "runflow", "url")),
        ("codex", ("mcp_servers", "runflow", "url")),
        ("gemini-cli", ("mcpServers", "runflow", "httpUrl")),
    ],
)
def test_the_printed_file_is_one_of_the_client_s(capsys: Capture, name: str, path: tuple[str, ...]) -> None:
    text = file_in(printed(capsys, name, "--url", URL))
    value: Any = tomllib.loads(text) if name == "codex" else orjson.loads(text)
    for member in path:
        value = value[member]
    assert value == URL or URL in value


@pytest.mark.parametrize(
    ("environ", "arguments", "expected"),
    [
        ({}, [], "http://127.0.0.1:8080/mcp"),
        ({"MCP_PORT": "9000", "MCP_HOST": "0.0.0.0"}, [], "http://127.0.0.1:9000/mcp"),  # noqa: S104 - not bound
        ({"MCP_PUBLIC_URL": "https://a.example"}, [], "https://a.example/mcp"),
        ({"MCP_PUBLIC_URL": "https://a.example"}, ["--url", "https://b.example"], "https://b.example/mcp"),
        ({"MCP_PORT": "wrong"}, ["--url", "https://b.example/x/mcp"], "https://b.example/x/mcp"),
    ],
)
def test_the_url_is_the_given_one_else_the_public_one_else_the_local_one(
    settings: pytest.MonkeyPatch, capsys: Capture, environ: dict[str, str], arguments: list[str], expected: str
) -> None:
    for name, value in environ.items():
        settings.setenv(name, value)
    assert f"--transport http runflow {expected} " in printed(capsys, "claude-code", *arguments)


def test_the_name_of_a_client_may_be_in_capitals(capsys: Capture) -> None:
    assert "cursor://" in printed(capsys, "Cursor")


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        (["claud-code"], "claude-code"),
        (["claude-destkop"], "claude-desktop"),
        (["vs-code"], "vscode"),
        (["gemini"], "gemini-cli"),
        (["--ulr", URL], "--url"),
        (["codex", "--ulr", URL], "--url"),
    ],
)
def test_an_unknown_client_or_option_suggests_the_nearest_one(capsys: Capture, arguments: list[str], near: str) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main(["connect", *arguments])
    assert exit_.value.code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("usage: runflow-mcp")
    assert f"Did you mean {near}?" in shown.err


def test_a_client_that_resembles_none_is_answered_with_all_names(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main(["connect", "zzz"])
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert all(name in error for name in NAMES)


@pytest.mark.parametrize("url", ["", "mcp.example.com", "ftp://a.example", "http://user@a.example", "http://["])
def test_a_url_that_cannot_be_used_is_explained(capsys: Capture, url: str) -> None:
    assert cli.main(["connect", "codex", "--url", url]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("This URL cannot be used.")


def test_wrong_settings_are_named(settings: pytest.MonkeyPatch, capsys: Capture) -> None:
    settings.setenv("MCP_PUBLIC_URL", "mcp.example.com")
    assert cli.main(["connect", "codex"]) == 2
    assert "MCP_PUBLIC_URL=" in capsys.readouterr().err
