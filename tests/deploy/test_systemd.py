"""The systemd unit against the settings, the limits and the exit codes of the code."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from runflow_mcp.cli.environment import USAGE_ERROR
from runflow_mcp.runflow.api.transport import SPARE_CONNECTIONS
from runflow_mcp.settings.config import Config
from runflow_mcp.web.health import STARTUP_GRACE
from runflow_mcp.workers.parent import DRAIN_MARGIN, STOP_MARGIN
from tests.deploy.deploy_files import DEPLOY, assignments, seconds, size
from tests.eventually import PATIENCE
from tests.server_process import clean_environment
from tests.serving import Serve, free_port

UNIT = DEPLOY / "systemd" / "runflow-mcp@.service"
PORT = "8080"
DEFAULTS = Config()


@pytest.fixture(scope="module")
def unit() -> dict[str, list[str]]:
    """Every value of every key, for the instance of one port."""
    values: dict[str, list[str]] = {}
    for name, value in assignments(UNIT.read_text()):
        values.setdefault(name, []).append(value.replace("%i", PORT))
    return values


def test_the_service_is_hardened(unit: dict[str, list[str]]) -> None:
    expected = {
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "DynamicUser": "yes",
        "PrivateTmp": "yes",
        "PrivateDevices": "yes",
        "MemoryDenyWriteExecute": "yes",
        "CapabilityBoundingSet": "",
        "LimitCORE": "0",
    }
    assert {name: unit[name] for name in expected} == {name: [value] for name, value in expected.items()}


def test_the_instance_name_is_the_port_and_overrides_the_environment_file(unit: dict[str, list[str]]) -> None:
    assert unit["EnvironmentFile"] == ["/etc/runflow-mcp/env", "-/etc/runflow-mcp/env.8080"]
    assert not [value for value in unit["Environment"] if value.startswith("MCP_PORT=")]
    assert unit["ExecStart"] == [f"/usr/bin/env MCP_PORT={PORT} /opt/runflow-mcp/bin/runflow-mcp serve"]


def test_the_limit_of_open_files_suffices_for_every_wait_and_its_poll(unit: dict[str, list[str]]) -> None:
    assert int(unit["LimitNOFILE"][0]) >= 2 * DEFAULTS.max_waits + SPARE_CONNECTIONS + 1024


def workers(unit: dict[str, list[str]]) -> int:
    """The processes of an instance, unless the environment file says otherwise."""
    return Config.from_mapping(dict(value.split("=") for value in unit["Environment"])).workers


def test_an_instance_has_several_workers_unless_the_environment_file_says_otherwise() -> None:
    # systemd reads the file after the line, wherever they stand.
    names = [name for name, _ in assignments(UNIT.read_text())]
    assert names.count("Environment") == 1
    assert "EnvironmentFile" in names


def test_the_service_has_a_memory_limit_of_a_gibibyte_for_each_worker(unit: dict[str, list[str]]) -> None:
    assert workers(unit) == 2
    assert 2**29 <= size(unit["MemoryHigh"][0]) < size(unit["MemoryMax"][0]) == workers(unit) * 2**30
    assert unit["MemorySwapMax"] == ["0"]


def test_a_stop_leaves_the_grace_time(unit: dict[str, list[str]]) -> None:
    assert unit["KillSignal"] == ["SIGTERM"]
    assert unit["KillMode"] == ["mixed"]
    # The parent itself kills workers that do not stop.
    assert seconds(unit["TimeoutStopSec"][0]) > DEFAULTS.shutdown_grace + DRAIN_MARGIN + STOP_MARGIN


@pytest.mark.real_time
@pytest.mark.parametrize("host", ["", "127.0.0.1", "127.0.0.2", "0.0.0.0", "::1", "::"])  # noqa: S104
async def test_a_start_lasts_until_the_replica_is_ready_where_it_listens(
    unit: dict[str, list[str]], serve: Serve, host: str
) -> None:
    """The unit's own command, with an HTTP proxy in the environment that must not be asked."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            pytest.skip(f"this machine has no address {host}")
    port = free_port()
    proxy = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    environ = {**clean_environment(), **proxy, "MCP_HOST": host, "MAINPID": str(os.getpid())}
    starting = await asyncio.create_subprocess_exec(*start_post(unit, port), env=environ)
    try:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(starting.wait(), 0.5)
        await serve(MCP_HOST=host, MCP_PORT=str(port))
        assert await asyncio.wait_for(starting.wait(), PATIENCE) == 0
    finally:
        if starting.returncode is None:
            starting.kill()
            await starting.wait()


def start_post(unit: dict[str, list[str]], port: int) -> list[str]:
    """The words of ExecStartPost as systemd reads them."""
    [command] = unit["ExecStartPost"]
    command = command.replace("/opt/runflow-mcp/bin/python", sys.executable).replace(PORT, str(port))
    # systemd replaces the variable and reads \\' as a quote inside quotes.
    return ["/bin/sh", "-c", command.partition("'")[2][:-1].replace("\\'", "'")]


def test_a_start_may_take_as_long_as_the_first_load_of_the_catalog(unit: dict[str, list[str]]) -> None:
    assert seconds(unit["TimeoutStartSec"][0]) > STARTUP_GRACE


def test_the_service_restarts_after_a_crash_but_not_with_wrong_settings(unit: dict[str, list[str]]) -> None:
    assert unit["Restart"] == ["on-failure"]
    assert unit["RestartPreventExitStatus"] == [str(USAGE_ERROR)]


def test_the_instructions_in_the_unit_name_existing_files() -> None:
    text = UNIT.read_text()
    assert "deploy/requirements.txt" in text
    assert "deploy/env.example /etc/runflow-mcp/env" in text
    assert f"deploy/systemd/{UNIT.name}" in text


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd is not installed")
    instance = tmp_path / f"runflow-mcp@{PORT}.service"
    installed = str(Path(sys.executable).parent)
    instance.write_text(UNIT.read_text().replace("/opt/runflow-mcp/bin", installed))
    verdict = subprocess.run(  # noqa: S603 - a fixed command
        [analyze, "verify", "--man=no", str(instance)], capture_output=True, text=True, timeout=20, check=False
    )
    assert (verdict.returncode, verdict.stderr) == (0, "")
