"""What ``runflow-mcp connect`` prints, given to the clients: Claude Code, mcp-remote, and the SDKs as other clients."""

import asyncio
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from runflow_mcp.cli import main as cli
from runflow_mcp.client_recipes import KEY_PLACEHOLDER
from tests.clients.peer_programs import STEP_SECONDS, conversation, node_packages, node_peers
from tests.clients.typescript_host import TypeScriptHost
from tests.required_programs import require
from tests.serving import KEY, MODERN, Server

pytestmark = pytest.mark.real_time

COMMANDS = Path(__file__).parent / "commands"
Capture = pytest.CaptureFixture[str]
#: How the clients write a variable of the environment in their files.
VARIABLE = {
    "claude-code": "${RUNFLOW_API_KEY}",
    "cursor": "${env:RUNFLOW_API_KEY}",
    "gemini-cli": "$RUNFLOW_API_KEY",
}


def blocks(capsys: Capture, client: str, url: str) -> list[str]:
    """What is printed for a client, as far as it is to be pasted, with a key in the place that is for it."""
    assert cli.main(["connect", client, "--url", url]) == 0
    found = re.findall(r"(?:^  .*\n)+", capsys.readouterr().out, re.MULTILINE)
    return [re.sub(r"^  ", "", str(block), flags=re.MULTILINE).replace(KEY_PLACEHOLDER, KEY) for block in found]


@pytest.fixture(scope="module")
def claude() -> Path:
    """The folder of the program itself: npm's link to it is made by a script of the package, which is not run."""
    installed = node_packages("commands", COMMANDS) / "node_modules" / "@anthropic-ai"
    programs = [path.parent for path in installed.glob("claude-code-*/claude")]
    if not programs:
        pytest.skip("Claude Code has no program for this machine")
    return programs[0]


def files_in(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


async def test_claude_code_connects_with_the_pasted_lines(
    claude: Path, server: Server, capsys: Capture, tmp_path: Path
) -> None:
    pasted, _ = blocks(capsys, "claude-code", server.url)
    command = f"{pasted}claude mcp list"
    environ = {"PATH": f"{claude}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", command),
        env=environ,
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stdin=asyncio.subprocess.DEVNULL,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 3 * STEP_SECONDS)
    assert f"runflow: {server.url} (HTTP) - ✔ Connected" in output.decode()
    written = files_in(tmp_path)
    assert any(b"${RUNFLOW_API_KEY}" in content for content in written)
    assert not any(KEY.encode() in content for content in written), "the key is in no file"


async def test_claude_code_reads_the_printed_file_of_a_project(
    claude: Path, server: Server, capsys: Capture, tmp_path: Path
) -> None:
    _, file = blocks(capsys, "claude-code", server.url)
    (tmp_path / ".mcp.json").write_text(file)
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "RUNFLOW_API_KEY": KEY}
    process = await asyncio.create_subprocess_exec(
        *(str(claude / "claude"), "mcp", "get", "runflow"), env=environ, cwd=tmp_path, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(process.communicate(), 3 * STEP_SECONDS)
    assert "Project config" in output.decode()
    assert server.url in output.decode()


async def greeted(command: list[str], home: Path, environ: Mapping[str, str]) -> Any:
    """What a program that bridges to the server answers to ``initialize``."""
    client = {"name": "host", "version": "0"}
    params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client}
    async with conversation(*command, home=home, **environ) as talk:
        await talk.send({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})
        return (await talk.receive())["result"]["serverInfo"]["name"]


def without_npx(command: list[str]) -> list[str]:
    """The command with the installed mcp-remote, which npx would download."""
    assert command[:3] == ["npx", "-y", "mcp-remote"]
    bridge = node_peers() / "node_modules" / "mcp-remote" / "dist" / "proxy.js"
    return [require("node"), str(bridge), *command[3:]]


async def test_mcp_remote_connects_with_the_printed_command(server: Server, capsys: Capture, tmp_path: Path) -> None:
    [pasted] = blocks(capsys, "mcp-remote", server.url)
    export, command = pasted.splitlines()
    [variable] = shlex.split(export)[1:]
    name, _, value = variable.partition("=")
    assert await greeted(without_npx(shlex.split(command)), tmp_path, {name: value}) == "Runflow"


async def test_the_file_of_claude_desktop_starts_a_bridge(server: Server, capsys: Capture, tmp_path: Path) -> None:
    [file] = blocks(capsys, "claude-desktop", server.url)
    entry = orjson.loads(file)["mcpServers"]["runflow"]
    command = without_npx([entry["command"], *entry["args"]])
    assert await greeted(command, tmp_path, entry["env"]) == "Runflow"


def as_client_reads(file: str, client: str) -> tuple[str, dict[str, str]]:
    """The URL and the headers of a file, with the key in place of the variable."""
    entry = orjson.loads(file)["mcpServers"]["runflow"]
    headers = {name: value.replace(VARIABLE[client], KEY) for name, value in entry["headers"].items()}
    return entry.get("url") or entry["httpUrl"], headers


@pytest.mark.parametrize("name", VARIABLE)
async def test_the_python_sdk_connects_with_the_entry_of_a_file(server: Server, capsys: Capture, name: str) -> None:
    url, headers = as_client_reads(blocks(capsys, name, server.url)[-1], name)
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        assert [tool.name for tool in (await client.list_tools()).tools] == ["generate", "list_models"]


async def test_the_typescript_sdk_connects_with_the_entry_of_vs_code(
    server: Server, capsys: Capture, typescript: TypeScriptHost
) -> None:
    entry = orjson.loads(blocks(capsys, "vscode", server.url)[-1])["servers"]["runflow"]
    header = entry["headers"]["Authorization"]
    assert header == "Bearer ${input:runflow-key}"
    met = await typescript.seen("meet", sdk="v2", era="auto", url=entry["url"], key=KEY)
    assert met["version"] == MODERN
