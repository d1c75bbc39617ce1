"""Dockerfile and compose.yaml against the code and against each other; no container engine runs them."""

import ipaddress
import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from runflow_mcp.runflow.api.transport import SPARE_CONNECTIONS
from runflow_mcp.settings.config import Config
from runflow_mcp.web.health import HEALTHZ
from runflow_mcp.workers.parent import DRAIN_MARGIN, STOP_MARGIN
from tests.deploy.deploy_files import DEPLOY, ROOT, SITE, read_nginx, seconds, size
from tests.deploy.nginx_stack import site_in
from tests.required_programs import require
from tests.serving import free_port

DEFAULTS = Config()
NAMES = {name for name, *_ in DEFAULTS.table()}
DOCKERFILE = DEPLOY / "docker" / "Dockerfile"
REPLICAS = ("mcp1", "mcp2")


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    lines = re.sub(r"\\\n\s*", " ", DOCKERFILE.read_text()).splitlines()
    pairs = [line.partition(" ") for line in lines if line and not line.startswith("#")]
    return [(name, rest) for name, _, rest in pairs]


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def image_environment(instructions: list[tuple[str, str]]) -> dict[str, str]:
    """The settings that the image itself sets."""
    final = [rest for name, rest in instructions if name == "ENV"][-1]
    return {name: value for name, value in (word.split("=", 1) for word in final.split()) if name in NAMES}


# The image.


def test_the_image_is_slim_pinned_and_made_in_two_stages(instructions: list[tuple[str, str]]) -> None:
    (image,) = [rest for name, rest in instructions if name == "ARG"]
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.(1[1-9])\.\d+-slim-[a-z]+", image)
    assert [rest for name, rest in instructions if name == "FROM"] == ["${PYTHON_IMAGE} AS build", "${PYTHON_IMAGE}"]


def test_packages_are_installed_with_their_hashes_and_the_project_without_others(
    instructions: list[tuple[str, str]],
) -> None:
    installs = [json.loads(rest) for name, rest in instructions if name == "RUN" and '"install"' in rest]
    packages, project = installs
    assert {"--no-deps", "--require-hashes"} <= set(packages)
    assert packages[-2:] == ["-r", "deploy/requirements.txt"]
    assert project[-4:] == ["--no-deps", "--no-build-isolation", "--no-index", "."]


def test_the_files_that_the_image_copies_exist_and_are_not_ignored(instructions: list[tuple[str, str]]) -> None:
    ignore = (DEPLOY / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    let_in = {line.removeprefix("!") for line in ignore if line.startswith("!")}
    copied = {
        source for name, rest in instructions if name == "COPY" and "--from" not in rest for source in rest.split()[:-1]
    }
    assert "*" in ignore
    assert let_in == copied
    assert all((ROOT / source).exists() for source in copied)


def test_the_image_runs_as_an_unprivileged_user_and_stops_by_draining(instructions: list[tuple[str, str]]) -> None:
    written = dict(instructions)
    uid, gid = written["USER"].split(":")
    assert int(uid) >= 10_000
    assert int(gid) >= 10_000
    assert written["STOPSIGNAL"] == "SIGTERM"
    program, command = json.loads(written["CMD"])
    assert program in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert command == "serve"


def test_the_settings_of_the_image_are_valid(
    image_environment: dict[str, str], instructions: list[tuple[str, str]]
) -> None:
    config = Config.from_mapping(image_environment)
    assert (config.host, config.port, config.log_format) == ("0.0.0.0", DEFAULTS.port, "json")  # noqa: S104
    assert dict(instructions)["EXPOSE"] == str(config.port)


def test_the_health_check_of_the_image_asks_the_liveness_probe(
    image_environment: dict[str, str], instructions: list[tuple[str, str]]
) -> None:
    options, _, command = dict(instructions)["HEALTHCHECK"].partition(" CMD ")
    python, flag, code = json.loads(command)
    assert (python, flag) == ("python", "-c")
    compile(code, "HEALTHCHECK", "exec")
    assert f"'{HEALTHZ}'" in code
    assert "MCP_PORT" in image_environment
    assert "--timeout=3s" in options


# Compose.


def test_the_services_are_the_proxy_two_replicas_and_the_store(compose: Any) -> None:
    assert set(compose["services"]) == {"nginx", *REPLICAS, "valkey"}
    first, second = ({**compose["services"][name], "networks": None} for name in REPLICAS)
    assert first == second


@pytest.mark.parametrize("service", ["nginx", *REPLICAS, "valkey"])
def test_every_service_has_the_fewest_privileges(compose: Any, service: str) -> None:
    written = compose["services"][service]
    assert written["read_only"] is True
    assert written["cap_drop"] == ["ALL"]
    assert written["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in written
    assert "cap_add" not in written
    assert written["restart"] == "unless-stopped"
    assert size(written["mem_limit"]) <= (2**31 if service in REPLICAS else 2**30)
    assert written["pids_limit"] <= (256 if service in REPLICAS else 128)
    # The replicas have the user and the check of their image.
    assert service in REPLICAS or {"user", "healthcheck"} <= set(written)


def test_the_images_of_the_services_are_pinned(compose: Any) -> None:
    for name in ("nginx", "valkey"):
        assert re.search(r":\d+\.\d+\.\d+-bookworm$", compose["services"][name]["image"])
    build = compose["services"]["mcp1"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).resolve() == DOCKERFILE


def test_only_the_proxy_is_published_and_only_replicas_reach_the_store(compose: Any) -> None:
    services = compose["services"]
    assert [name for name in services if "ports" in services[name]] == ["nginx"]
    assert services["nginx"]["ports"] == ["80:80", "443:443"]
    assert compose["networks"]["store"]["internal"] is True
    assert {name for name in services if "store" in services[name]["networks"]} == {*REPLICAS, "valkey"}


def test_the_replicas_get_settings_that_fit_the_other_services(compose: Any, image_environment: dict[str, str]) -> None:
    services = compose["services"]
    for name in REPLICAS:
        environment = services[name]["environment"]
        assert set(environment) <= NAMES
        assert environment["MCP_PUBLIC_URL"].startswith("${MCP_PUBLIC_URL:?")
        origin = "https://mcp.example.com"
        setting, _, default = environment["MCP_WORKERS"].strip("${}").partition(":-")
        assert setting == "MCP_WORKERS"
        environment = {**environment, "MCP_WORKERS": default}
        config = Config.from_mapping({**image_environment, **environment, "MCP_PUBLIC_URL": origin})
        proxy = ipaddress.ip_network(services["nginx"]["networks"]["front"]["ipv4_address"])
        assert config.trusted_proxies == (proxy,)
        assert config.rate_limit_store == "redis://valkey:6379/0"
        assert services[name]["expose"] == [str(config.port)]
        assert services[name]["env_file"] == ".env"


def test_a_stop_of_a_service_leaves_the_grace_time(compose: Any) -> None:
    needed = DEFAULTS.shutdown_grace + DRAIN_MARGIN + STOP_MARGIN
    for name in ("nginx", *REPLICAS):
        assert seconds(compose["services"][name]["stop_grace_period"]) > needed
    # nginx must not be stopped before the replicas have answered their last calls.
    assert "depends_on" not in compose["services"]["nginx"]


def test_the_limits_of_open_files_suffice_for_every_wait(compose: Any) -> None:
    for name in REPLICAS:
        assert compose["services"][name]["ulimits"]["nofile"] >= 2 * DEFAULTS.max_waits + SPARE_CONNECTIONS + 1024
    connections = int(read_nginx(DEPLOY / "docker" / "nginx.conf").inside("events").value_of("worker_connections"))
    assert connections >= len(REPLICAS) * 2 * DEFAULTS.max_waits
    assert compose["services"]["nginx"]["ulimits"]["nofile"] >= connections


def test_mounted_files_exist_and_are_where_nginx_looks(compose: Any) -> None:
    mounts = dict(mount.removesuffix(":ro").split(":") for mount in compose["services"]["nginx"]["volumes"])
    made_by_the_operator = mounts.pop("./tls")
    assert all((DEPLOY / source).is_file() for source in mounts)
    server = read_nginx(SITE).all("server")[1]
    assert Path(server.value_of("ssl_certificate")).parent == Path(made_by_the_operator)
    assert Path(server.value_of("ssl_certificate_key")).parent == Path(made_by_the_operator)


def test_the_site_gets_the_addresses_of_the_replicas(compose: Any, tmp_path: Path) -> None:
    """The very command of the container, up to the start of nginx, on the very site file."""
    services = compose["services"]
    (script,) = services["nginx"]["command"]
    made = tmp_path / "made.conf"
    command = script.split(" && exec nginx ")[0].replace("/etc/nginx/runflow-mcp.conf", str(SITE))
    subprocess.run(  # noqa: S603 - our own file
        [require("sh"), "-c", command.replace("/tmp/runflow-mcp.conf", str(made))],  # noqa: S108 - the container's
        check=True,
        timeout=10,
    )
    replicas = [address.split()[0] for address in read_nginx(made).inside("upstream", "runflow_mcp").values("server")]
    front = ipaddress.ip_network(compose["networks"]["front"]["ipam"]["config"][0]["subnet"])
    addresses = [services[name]["networks"]["front"]["ipv4_address"] for name in REPLICAS]
    assert replicas == [f"{address}:{DEFAULTS.port}" for address in addresses]
    assert all(ipaddress.ip_address(address) in front for address in addresses)
    # Nothing else was changed.
    changed = set(made.read_text().splitlines()) ^ set(SITE.read_text().splitlines())
    assert len(changed) == 4


def test_nginx_accepts_the_main_configuration_with_the_site_file(tmp_path: Path) -> None:
    nginx = require("nginx")
    main = tmp_path / "nginx.conf"
    text = (DEPLOY / "docker" / "nginx.conf").read_text()
    for place in ("/tmp/", "/var/log/nginx/"):  # noqa: S108 - the container's
        assert place in text
        text = text.replace(place, f"{tmp_path}/")
    main.write_text(text)
    site = site_in(tmp_path, https=free_port(), plain=free_port(), replicas=(1, 2))
    (tmp_path / SITE.name).write_text(site)
    verdict = subprocess.run(  # noqa: S603 - a fixed command
        [nginx, "-t", "-e", str(tmp_path / "error.log"), "-c", str(main)],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    assert verdict.returncode == 0, verdict.stderr
