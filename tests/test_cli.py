"""The commands as processes: signals, exit codes, and what they print."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest
import structlog

from runflow_mcp import __version__
from runflow_mcp.cli import config_report, embedded_sandbox, extras
from runflow_mcp.cli import main as cli
from runflow_mcp.cli.environment import USAGE_ERROR, load_config, read_environment
from runflow_mcp.settings.config import Config
from tests.command_process import SLOW_CALL, Command, Run
from tests.eventually import PATIENCE
from tests.runflow.certificate_authority import Authority
from tests.server_process import clean_environment
from tests.serving import BOTH, KEY, free_port


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A working directory without ``.env`` and an environment without settings, for commands in this process."""
    for name in set(os.environ) - set(clean_environment()):
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


# serve


@pytest.mark.real_time
async def test_the_printed_commands_make_pictures_and_the_log_is_json_without_the_key(
    run: Run, session: aiohttp.ClientSession
) -> None:
    server = await run("serve", "--sandbox", MCP_ALLOWED_HOST="typo.example.com")
    await server.answers(session, "/readyz")
    await server.prints("Ctrl-C stops the server.")
    assert f"sandbox key  {KEY}\n" in server.stdout
    [check] = [line for line in server.stdout.splitlines() if " check " in line]
    call = f"{printed(server, '  curl ')} -sS" if shutil.which("curl") else "true"
    checked, called = await asyncio.gather(pasted(server, check), pasted(server, call))
    last = checked.splitlines()[-1]
    assert re.match(r"ok   generate \(\d+ ms\): succeeded", last)
    pictures = [last.split()[-1]]
    if called:
        *progress, final = [json.loads(line[6:]) for line in called.splitlines() if line.startswith("data: ")]
        assert {event["method"] for event in progress} == {"notifications/progress"}
        pictures.append(final["result"]["structuredContent"]["outputs"][0]["url"])
    for url in pictures:
        async with session.get(url) as picture:
            assert picture.content_type == "image/png"
    began = time.monotonic()
    server.signal()
    assert await server.ended() == 0
    assert time.monotonic() - began < 3, "an idle server stops at once, although the session keeps a connection open"
    log = [json.loads(line) for line in server.stderr.splitlines()]
    assert {"listening", "request", "draining", "stopped"} <= {line["event"] for line in log}
    assert [line["did_you_mean"] for line in log if line["event"] == "unknown_setting"] == ["MCP_ALLOWED_HOSTS"]
    assert KEY not in server.stderr


def printed(server: Command, beginning: str) -> str:
    """The command in the welcome that begins so, its continued lines included."""
    start = server.stdout.index(beginning)
    return server.stdout[start : server.stdout.index("\n\n", start)]


async def pasted(server: Command, command: str) -> str:
    """What a command prints in a shell of its own."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", command), stdout=asyncio.subprocess.PIPE, cwd=server.server.folder, env=clean_environment()
    )
    output, _ = await asyncio.wait_for(process.communicate(), 2 * PATIENCE)
    assert process.returncode == 0, output
    return output.decode()


@pytest.mark.real_time
@pytest.mark.parametrize(("log_format", "is_welcomed"), [("auto", True), ("json", False)])
async def test_a_live_server_prints_the_welcome_unless_its_output_is_for_programs(
    run: Run, session: aiohttp.ClientSession, *, log_format: str, is_welcomed: bool
) -> None:
    nowhere = {
        "RUNFLOW_API_URL": "http://127.0.0.1:9",
        "RUNFLOW_CATALOG_URL": "http://127.0.0.1:9",
        "RUNFLOW_SKILL_URL": "",
    }
    server = await run("serve", MCP_LOG_FORMAT=log_format, **nowhere)
    await server.answers(session, "/healthz")
    server.signal()
    assert await server.ended() == 0
    assert ("for http://127.0.0.1:9 (runs cost money)" in server.stdout) == is_welcomed
    assert (f"curl -N {server.url}/mcp" in server.stdout) == is_welcomed


async def waiting_call(server: Command, session: aiohttp.ClientSession) -> aiohttp.ClientResponse:
    """A ``generate`` that waits, seen by its first progress."""
    await server.answers(session, "/readyz")
    headers = {"Authorization": f"Bearer {KEY}", "Accept": BOTH}
    response = await session.post(f"{server.url}/mcp", json=SLOW_CALL, headers=headers)
    assert "queued" in (await next_message(response))["params"]["message"]
    return response


async def next_message(response: aiohttp.ClientResponse) -> Any:
    async with asyncio.timeout(PATIENCE):
        async for line in response.content:
            if line.startswith(b"data: "):
                return json.loads(line.removeprefix(b"data: "))
    raise AssertionError("the stream ended")


@pytest.mark.real_time
async def test_a_waiting_call_receives_its_run_id_when_the_server_stops(
    run: Run, session: aiohttp.ClientSession
) -> None:
    server = await run("serve", "--sandbox", MCP_SHUTDOWN_GRACE_MS="1000")
    response = await waiting_call(server, session)
    server.signal()
    error = (await next_message(response))["result"]["structuredContent"]["error"]
    assert error["code"] == "server_draining"
    assert error["details"]["run_id"]
    assert error["details"]["client_ref"].startswith("mcp-")
    assert await server.ended() == 0


@pytest.mark.real_time
async def test_a_draining_server_is_unready_and_a_second_signal_stops_it_at_once(
    run: Run, session: aiohttp.ClientSession
) -> None:
    server = await run("serve", "--sandbox", MCP_SHUTDOWN_GRACE_MS="60000")
    response = await waiting_call(server, session)
    server.signal()
    await server.answers(session, "/readyz", status=503)
    await server.answers(session, "/healthz")
    began = time.monotonic()
    server.signal(signal.SIGINT)
    assert await server.ended() == 0
    assert time.monotonic() - began < 10  # the grace is a minute
    response.close()


@pytest.mark.real_time
async def test_a_port_in_use_is_explained_in_one_line(run: Run) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        server = await run("serve", "--sandbox", MCP_PORT=str(port))
        assert await server.ended() == 1
    lines = [line for line in server.stderr.splitlines() if not line.startswith("{")]
    [line] = lines
    assert line.startswith(f"Cannot listen on 127.0.0.1:{port}: Address already in use. ")
    assert "MCP_PORT=9000" in line
    assert "make run PORT=9000" in line
    assert server.stdout == ""


def test_wrong_settings_are_all_named_and_nothing_starts(
    settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = {"MCP_PORT": "0", "MCP_LOG_LEVEL": "loud", "MCP_RATE_LIMIT_STORE": "mysql://me:geheim@db"}
    for name, value in wrong.items():
        settings.setenv(name, value)
    assert cli.main(["serve"]) == 2
    printed = capsys.readouterr()
    assert all(name in printed.err for name in wrong)
    assert "MCP_PORT='0': expected a whole number from 1 to 65535" in printed.err
    assert "geheim" not in printed.err
    assert printed.out == ""


@pytest.fixture
def sandbox_port(monkeypatch: pytest.MonkeyPatch) -> int:
    """Stands for the fixed port, which another server on this machine may have."""
    port = free_port()
    monkeypatch.setattr(embedded_sandbox, "SANDBOX_PORT", port)
    return port


async def test_the_embedded_sandbox_takes_its_fixed_port(sandbox_port: int) -> None:
    sandbox = await embedded_sandbox.start_embedded_sandbox(server_port=8080)
    assert sandbox.url == f"http://127.0.0.1:{sandbox_port}"
    await sandbox.close()


async def test_a_second_embedded_sandbox_takes_the_next_port_and_logs_it(sandbox_port: int) -> None:
    first = await embedded_sandbox.start_embedded_sandbox(server_port=8080)
    with structlog.testing.capture_logs() as logs:
        second = await embedded_sandbox.start_embedded_sandbox(server_port=8080)
    assert int(second.url.rpartition(":")[2]) > sandbox_port
    assert [(entry["event"], entry["port"], entry["sandbox"]) for entry in logs] == [
        ("sandbox_port_in_use", sandbox_port, second.url)
    ]
    await first.close()
    await second.close()


async def test_the_embedded_sandbox_leaves_the_port_of_the_server_free(sandbox_port: int) -> None:
    sandbox = await embedded_sandbox.start_embedded_sandbox(server_port=sandbox_port)
    assert int(sandbox.url.rpartition(":")[2]) > sandbox_port
    await sandbox.close()


async def test_without_a_free_port_nearby_the_embedded_sandbox_takes_any(
    sandbox_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_sandbox, "PORTS_TRIED", 1)
    sandbox = await embedded_sandbox.start_embedded_sandbox(server_port=sandbox_port)
    assert not sandbox.url.endswith(f":{sandbox_port}")
    await sandbox.close()


@pytest.mark.parametrize("arguments", [["serve", "--sandbox"], ["sandbox"]], ids=" ".join)
@pytest.mark.usefixtures("settings")
def test_a_missing_pillow_is_explained_in_one_line_that_names_the_extra(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert cli.main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    [line] = shown.err.splitlines()
    assert "extra sandbox" in line
    assert "-r deploy/requirements.txt" in line


# the other commands


@pytest.mark.real_time
async def test_the_sandbox_command_serves_until_a_signal(run: Run, session: aiohttp.ClientSession) -> None:
    port = free_port()
    sandbox = await run("sandbox", "--port", str(port), MCP_PORT=str(port))
    await sandbox.answers(session, "/v1/health")
    sandbox.signal(signal.SIGINT)
    assert await sandbox.ended() == 0
    assert f"RUNFLOW_API_URL=http://127.0.0.1:{port}\n" in sandbox.stdout


@pytest.mark.usefixtures("settings")
def test_the_check_command_reports_a_failed_step(capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert cli.main(["check", url, "--key", KEY]) == 1
    printed = capsys.readouterr().out
    assert printed.startswith(f"     using {url}/mcp\nFAIL connect (")
    assert "Connection refused." in printed


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://127.0.0.1:{port}", "http://127.0.0.1:{port}/mcp"),
        ("http://me:geheim@127.0.0.1:{port}/mcp", "127.0.0.1:{port}/mcp"),
    ],
)
def test_check_prints_one_json_object_even_when_it_fails(
    url: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    assert cli.main(["check", url.format(port=port), "--key", KEY, "--json"]) == 1
    printed = capsys.readouterr()
    [step] = json.loads(printed.out)["steps"]
    assert (step["step"], step["ok"]) == ("connect", False)
    assert step["fix"]
    assert json.loads(printed.out)["url"] == shown.format(port=port)
    assert "geheim" not in printed.out + printed.err


def test_the_version_option_prints_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize("order", ["{", "[]", "prompt=a lighthouse"])
def test_check_rejects_an_input_that_is_not_a_json_object(order: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main(["check", "http://127.0.0.1:1", "--key", KEY, "--generate", "google/nano-banana-2", order])
    assert exit_.value.code == 2
    assert "JSON must be an object" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["start"],
        ["check", "--generate", "google/nano-banana-2"],
        ["sandbox", "--port", "70000"],
        ["sandbox", "--speed", "fast"],
    ],
)
def test_a_wrong_command_line_exits_with_2_and_the_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    assert exit_.value.code == 2
    assert capsys.readouterr().err.startswith("usage: ")


def test_the_environment_wins_over_the_env_file(
    settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text('MCP_PORT=9001\nMCP_LOG_LEVEL="warning"\nRUNFLOW_SKILL_URL=\n')
    settings.setenv("MCP_PORT", "9002")
    assert cli.main(["config"]) == 0
    shown = capsys.readouterr().out
    assert "MCP_PORT (integer)\n    Port to listen on.\n    default: 8080\n    now:     9002\n" in shown
    assert "    default: info\n    now:     warning\n" in shown
    assert "SKILL.md\n    now:     (empty)\n" in shown


def test_proxies_and_certificates_may_come_from_the_env_file(
    settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ca_file = Authority(tmp_path).file
    (tmp_path / ".env").write_text(
        f"https_proxy=http://user:geheim@file:1\nHTTP_PROXY=http://file:2\nno_proxy=x.example\nSSL_CERT_FILE={ca_file}\n"
    )
    config = Config.from_mapping(read_environment())
    assert (str(config.https_proxy), str(config.http_proxy)) == ("http://***@file:1", "http://file:2")
    assert (config.no_proxy, config.ssl_cert_file) == (("x.example",), str(ca_file))
    settings.setenv("HTTPS_PROXY", "http://real:1")
    settings.setenv("http_proxy", "http://real:2")
    config = Config.from_mapping(read_environment())
    assert (str(config.https_proxy), str(config.http_proxy)) == ("http://real:1", "http://real:2")
    assert cli.main(["config"]) == 0
    assert "geheim" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SSL_CERT_FILE", "no-such-file.pem"),
        ("HTTPS_PROXY", "socks5://me:geheim@proxy:1080"),
        ("http_proxy", "http://me:geheim@proxy:99999"),
        ("RUNFLOW_API_URL", "https://api.runflow.io/v1/models"),
    ],
)
def test_an_unusable_upstream_or_proxy_setting_stops_the_start(
    settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    settings.setenv(name, value)
    assert cli.main(["serve"]) == 2
    stderr = capsys.readouterr().err
    assert f"{name}=" in stderr
    assert "geheim" not in stderr


@pytest.mark.usefixtures("settings")
def test_an_env_file_that_is_not_text_stops_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"MCP_PORT=\xff\n")
    with pytest.raises(SystemExit) as exit_:
        cli.main(["config"])
    assert exit_.value.code == 2
    assert capsys.readouterr().err.startswith("The file .env in this directory cannot be read")


def test_config_shows_every_setting_with_secrets_masked(
    settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.setenv("MCP_RATE_LIMIT_STORE", "redis://me:geheim@db:6379/0")
    assert cli.main(["config"]) == 0
    shown = capsys.readouterr().out
    assert all(f"{name} ({kind})\n    {help_}\n" in shown for name, kind, _, _, help_ in Config().table())
    assert "now:     redis://me:***@db:6379/0" in shown


def test_config_shows_every_setting_even_when_some_are_wrong(
    settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.setenv("MCP_MAX_WAITS", "many")
    settings.setenv("MCP_RATE_LIMIT_STORE", "redis://me:geheim@db:99999")
    settings.setenv("MCP_PORT", "9000")
    assert cli.main(["config"]) == 2
    shown = capsys.readouterr()
    assert all(f"{name} ({kind})\n    {help_}\n" in shown.out for name, kind, _, _, help_ in Config().table())
    assert "    now:     many\n    WRONG:   expected a whole number from 1 to 100000\n" in shown.out
    assert "    now:     redis://me:***@db:***\n    WRONG:   expected memory://" in shown.out
    assert "    now:     9000\nMCP_PUBLIC_URL" in shown.out
    assert shown.out.count("WRONG") == 2
    assert "MCP_MAX_WAITS, " not in shown.out
    assert "MCP_RATE_LIMIT_STORE, MCP_MAX_WAITS" in shown.err
    assert "geheim" not in shown.out + shown.err


def test_config_shows_warnings_for_questionable_settings(
    settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.setenv("MCP_POLL_TIMEOUT_MS", "600")
    assert cli.main(["config"]) == 0
    assert "    now:     600\n    WARNING: the value is in milliseconds" in capsys.readouterr().out


def test_config_prints_json(settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    settings.setenv("MCP_PORT", "x")
    settings.setenv("MCP_RATE_LIMIT_STORE", "redis://me:geheim@db")
    assert cli.main(["config", "--json"]) == 2
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == [row[0] for row in Config().table()]
    assert rows["MCP_PORT"]["error"].startswith("expected ")
    assert rows["MCP_RATE_LIMIT_STORE"]["value"] == "redis://me:***@db"
    assert rows["MCP_HOST"] == {
        "name": "MCP_HOST",
        "type": "text",
        "default": "127.0.0.1",
        "value": "127.0.0.1",
        "is_set": False,
        "help": "Address to listen on; :: is every address, IPv4 included.",
        "error": None,
    }


def test_config_prints_an_env_file_that_sets_the_same_values(
    settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    given = {
        "MCP_PORT": "9000",
        "MCP_ALLOWED_ORIGINS": "https://a.example,https://b.example",
        "RUNFLOW_SKILL_URL": "",
        "RUNFLOW_CATALOG_URL": "https://example.com/it's?a=$b#c",
    }
    for name, value in given.items():
        settings.setenv(name, value)
    before = Config.from_mapping(read_environment())
    assert cli.main(["config", "--env"]) == 0
    text = capsys.readouterr().out
    for name in given:
        settings.delenv(name)
    (tmp_path / ".env").write_text(text)
    after = Config.from_mapping(read_environment())
    assert attrs.evolve(after, catalog_url=before.catalog_url) == before
    assert all(f"{name}=" in text for name, *_ in Config().table())
    assert "# MCP_HOST=127.0.0.1\n" in text


def test_config_leaves_secrets_out_of_the_env_file(
    settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.setenv("MCP_RATE_LIMIT_STORE", "redis://me:geheim@db:6379/0")
    assert cli.main(["config", "--env"]) == 0
    text = capsys.readouterr().out
    assert "geheim" not in text
    assert "# MCP_RATE_LIMIT_STORE=redis://me:***@db:6379/0\n" in text


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        (["serv"], "serve"),
        (["chek"], "check"),
        (["confg"], "config"),
        (["serve", "--sandbx"], "--sandbox"),
        (["config", "--jsn"], "--json"),
        (["check", "--gnerate", "x"], "--generate"),
    ],
)
def test_an_unknown_command_or_option_suggests_the_nearest_one(
    arguments: list[str], near: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    assert exit_.value.code == 2
    assert f"Did you mean {near}?" in capsys.readouterr().err


@pytest.mark.parametrize("source", ["environment", "file"])
def test_check_takes_the_key_from_the_environment(
    settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, source: str
) -> None:
    if source == "file":
        (tmp_path / ".env").write_text(f"RUNFLOW_API_KEY={KEY}\n")
    else:
        settings.setenv("RUNFLOW_API_KEY", KEY)
    assert cli.main(["check", f"http://127.0.0.1:{free_port()}/mcp"]) == 1
    assert capsys.readouterr().out.startswith("FAIL connect (")


@pytest.mark.usefixtures("settings")
def test_check_without_a_key_or_a_terminal_names_the_variable_to_set(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main(["check"])
    assert exit_.value.code == 2
    assert "RUNFLOW_API_KEY" in capsys.readouterr().err


def test_the_markdown_table_shows_defaults_whatever_is_set(
    settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.setenv("MCP_PORT", "many")
    assert cli.main(["config", "--markdown"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 2 + len(Config().table())
    assert "| `MCP_PORT` | integer | `8080` | Port to listen on. |" in rows
    assert not any("<" in row for row in rows)


def test_the_readme_has_the_printed_table_of_settings() -> None:
    readme = Path(__file__).parent.parent / "README.md"
    assert config_report.as_markdown() in readme.read_text(encoding="utf-8"), (
        "replace the README's table with the output of: runflow-mcp config --markdown"
    )


def test_a_redis_store_without_the_package_names_the_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda _name: None)
    assert load_config({"MCP_RATE_LIMIT_STORE": "redis://cache:6379/0"}) is None
    assert f"install it: {extras.INSTALL_PACKAGES}\n" in capsys.readouterr().err
    document = Path(__file__).parents[1] / "deploy" / "README.md"
    assert f".venv/bin/{extras.INSTALL_PACKAGES}" in document.read_text(encoding="utf-8")
    assert load_config({}) is not None


@pytest.mark.parametrize("command", ["serve", "sandbox"])
def test_on_windows_serve_and_sandbox_recommend_wsl(
    settings: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    settings.setattr(sys, "platform", "win32")
    assert cli.main([command]) == USAGE_ERROR
    assert capsys.readouterr().err.splitlines() == [
        "The server runs on Linux and macOS; on Windows run it under WSL. Nothing was started."
    ]
