"""How each client is connected: the commands, links and files are well-formed, and none holds a key."""

import base64
import shlex
import tomllib
from urllib.parse import parse_qs, unquote, urlsplit

import orjson
import pytest

from runflow_mcp.client_recipes import Recipe, recipes

URL = "https://mcp.example.com/mcp"
NAMES = ["claude-code", "claude-desktop", "claude.ai", "cursor", "vscode", "codex", "gemini-cli", "mcp-remote"]


def recipe(name: str, url: str = URL) -> Recipe:
    [found] = [entry for entry in recipes(url) if entry.name == name]
    return found


def file_of(name: str) -> str:
    file = recipe(name).file
    assert file is not None
    return file.content


def everything(recipe: Recipe) -> str:
    content = recipe.file.content if recipe.file else None
    return "\n".join(filter(None, (recipe.shell, recipe.install_link, content, *recipe.steps)))


def test_every_client_has_a_recipe() -> None:
    assert [entry.name for entry in recipes(URL)] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_how_to_connect_where_the_key_is_and_how_to_check(name: str) -> None:
    one = recipe(name)
    assert one.title
    assert one.key.endswith(".")
    assert one.check.endswith(".")
    assert one.shell or one.install_link or one.file or one.steps


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_holds_a_placeholder_or_a_variable_and_no_key(name: str) -> None:
    text = everything(recipe(name))
    assert "rf_live" not in text
    assert any(way in unquote(text) for way in ("RUNFLOW_API_KEY", "<your Runflow API key>", "${input:runflow-key}"))


@pytest.mark.parametrize("name", ["claude-code", "codex", "gemini-cli", "mcp-remote", "vscode"])
def test_a_command_is_one_line_with_the_url_as_a_word(name: str) -> None:
    command = recipe(name).command
    assert command is not None
    assert "\n" not in command
    words = shlex.split(command)
    assert URL in words or orjson.loads(words[-1])["url"] == URL


def test_a_url_with_characters_of_the_shell_stays_one_word() -> None:
    hostile = "http://a.example;touch${IFS}x'/mcp"
    for entry in recipes(hostile):
        if entry.command is not None and entry.name != "vscode":
            assert hostile in shlex.split(entry.command)


def test_claude_code_puts_the_variable_in_when_it_connects() -> None:
    assert recipe("claude-code").command == (
        "claude mcp add --transport http runflow https://mcp.example.com/mcp "
        "--header 'Authorization: Bearer ${RUNFLOW_API_KEY}'"
    )
    server = orjson.loads(file_of("claude-code"))["mcpServers"]["runflow"]
    assert server == {"type": "http", "url": URL, "headers": {"Authorization": "Bearer ${RUNFLOW_API_KEY}"}}


def test_claude_desktop_starts_mcp_remote() -> None:
    server = orjson.loads(file_of("claude-desktop"))["mcpServers"]["runflow"]
    assert server["command"] == "npx"
    assert server["args"] == ["-y", "mcp-remote", URL, "--header", "Authorization:${AUTH_HEADER}"]
    assert server["env"] == {"AUTH_HEADER": "Bearer <your Runflow API key>"}


@pytest.mark.parametrize(
    ("url", "allowed"),
    [(URL, False), ("http://127.0.0.1:8080/mcp", False), ("http://mcp.internal/mcp", True)],
)
def test_mcp_remote_gets_the_option_for_http_where_it_needs_it(url: str, allowed: bool) -> None:  # noqa: FBT001
    command = recipe("mcp-remote", url).command
    assert command is not None
    assert ("--allow-http" in command) is allowed


def test_the_recipe_of_claude_ai_warns_about_an_unreachable_server() -> None:
    assert len(recipe("claude.ai", "http://127.0.0.1:8080/mcp").steps) == len(recipe("claude.ai").steps) + 1


def test_the_install_link_of_cursor_holds_the_entry_of_its_file() -> None:
    link = urlsplit(recipe("cursor").install_link or "")
    assert (link.scheme, link.netloc, link.path) == ("cursor", "anysphere.cursor-deeplink", "/mcp/install")
    query = parse_qs(link.query, strict_parsing=True)
    assert query["name"] == ["runflow"]
    config = orjson.loads(base64.b64decode(query["config"][0], validate=True))
    assert config == orjson.loads(file_of("cursor"))["mcpServers"]["runflow"]
    assert config["headers"] == {"Authorization": "Bearer ${env:RUNFLOW_API_KEY}"}


def test_the_install_link_of_vs_code_holds_the_entry_of_its_file_and_asks_for_the_key() -> None:
    link = recipe("vscode").install_link or ""
    assert link.startswith("vscode:mcp/install?")
    entry = orjson.loads(unquote(link.partition("?")[2]))
    file = orjson.loads(file_of("vscode"))
    assert entry == {"name": "runflow", **file["servers"]["runflow"], "inputs": file["inputs"]}
    assert file["inputs"][0]["password"] is True
    assert orjson.loads(shlex.split(recipe("vscode").command or "")[-1]) == entry


def test_the_file_of_codex_is_toml() -> None:
    server = tomllib.loads(file_of("codex"))["mcp_servers"]["runflow"]
    assert server == {"url": URL, "bearer_token_env_var": "RUNFLOW_API_KEY"}


def test_the_file_of_gemini_cli_names_streamable_http() -> None:
    server = orjson.loads(file_of("gemini-cli"))["mcpServers"]["runflow"]
    assert server == {"httpUrl": URL, "headers": {"Authorization": "Bearer $RUNFLOW_API_KEY"}}
