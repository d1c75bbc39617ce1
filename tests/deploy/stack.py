"""What an operator runs, on loopback: the sandbox in place of Runflow, two replicas, and nginx with the real site file.

All are processes of their own. The site file is changed in its addresses and paths alone, and every change must hit.
"""

import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import attrs
import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.deploy.files import ROOT, SITE
from tests.services import require
from tests.serving import free_port

HOST = "127.0.0.1"
#: A replica admits this many requests of one address and minute; every test comes from an address of its own.
PER_ADDRESS = 10
#: Runs take 1 to 1.5 s, so that the first poll, after 2 s, finds them ended.
SPEED = 4
#: What the site file calls its certificate and key.
CHAIN, KEY = "fullchain.pem", "privkey.pem"
#: Seconds for a process to come up or go down; far more than it takes.
PATIENCE = 15.0


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Look until it is so."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.01)


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


def _listens(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=2):
            return True
    except OSError:
        return False


def _lines(log: Path) -> list[bytes]:
    """Its whole lines; another process may be writing the last one."""
    return log.read_bytes().rpartition(b"\n")[0].splitlines()


def _ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@attrs.define
class Process:
    """A program that is started, and started again, with its output in a file."""

    command: list[str]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    ready: Callable[[], bool]
    _running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self._running = subprocess.Popen(  # noqa: S603 - our own programs
                self.command, env=dict(self.environment), cwd=self.folder, stdout=output, stderr=output
            )
        eventually(self._up, f"{self.command} is ready; its output is in {self.log}")

    def _up(self) -> bool:
        assert self._running is not None
        assert self._running.poll() is None, self.log.read_text()
        return self.ready()

    def stop(self, by: signal.Signals = signal.SIGTERM) -> None:
        if self._running is not None:
            running, self._running = self._running, None
            running.send_signal(by)
            try:
                running.wait(PATIENCE)
            finally:
                running.kill()

    @property
    def lines(self) -> list[dict[str, object]]:
        """The JSON lines that it has logged."""
        return [orjson.loads(line) for line in _lines(self.log) if line.startswith(b"{")]


def make_certificate(folder: Path) -> None:
    """A self-signed certificate for the loopback address, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(HOST))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / CHAIN).write_bytes(made.public_bytes(pem))
    (folder / KEY).write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))


def site_in(folder: Path, *, https: int, plain: int, replicas: tuple[int, int]) -> str:
    """The site file with these ports, and its files in ``folder``; every change must hit as often as given."""
    make_certificate(folder)
    six = _ipv6()
    changes = {
        "listen 80;": (f"listen {HOST}:{plain};", 1),
        "listen [::]:80;": (f"listen [::1]:{plain};" if six else "", 1),
        "listen 443 ssl http2;": (f"listen {HOST}:{https} ssl http2;", 1),
        "listen [::]:443 ssl http2;": (f"listen [::1]:{https} ssl http2;" if six else "", 1),
        "server 127.0.0.1:8080 ": (f"server {HOST}:{replicas[0]} ", 1),
        "server 127.0.0.1:8081 ": (f"server {HOST}:{replicas[1]} ", 1),
        "/etc/nginx/tls/": (f"{folder}/", 2),
        "/var/log/nginx/": (f"{folder}/", 2),
    }
    text = SITE.read_text()
    for old, (new, times) in changes.items():
        assert text.count(old) == times, f"{old!r} is {text.count(old)} times in the site file"
        text = text.replace(old, new)
    return text


@attrs.frozen
class Stack:
    """The running processes and where they are."""

    https: int
    http: int
    replica_ports: tuple[int, int]
    sandbox_port: int
    certificate: Path
    access_log: Path
    sandbox: Process
    replicas: tuple[Process, Process]
    nginx: Process

    @classmethod
    def make(cls, folder: Path) -> "Stack":
        binary = require("nginx")
        https, plain, first, second, sandbox = (free_port() for _ in range(5))
        (folder / "site.conf").write_text(site_in(folder, https=https, plain=plain, replicas=(first, second)))
        (folder / "nginx.conf").write_text(_main(folder))
        environment = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(ROOT)}

        def program(name: str, port: int, path: str, arguments: list[str], settings: Mapping[str, str]) -> Process:
            return Process(
                [sys.executable, "-m", "runflow_mcp", *arguments],
                {**environment, **settings},
                folder,
                folder / f"{name}.log",
                lambda: _answers(port, path),
            )

        def replica(port: int) -> Process:
            settings = _settings(port, f"https://{HOST}:{https}", f"http://{HOST}:{sandbox}")
            return program(f"replica-{port}", port, "/readyz", ["serve"], settings)

        simulated = ["sandbox", "--port", str(sandbox), "--speed", str(SPEED)]
        return cls(
            https,
            plain,
            (first, second),
            sandbox,
            folder / CHAIN,
            folder / "access.log",
            program("sandbox", sandbox, "/v1/health", simulated, {}),
            (replica(first), replica(second)),
            Process(
                [binary, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")],
                environment,
                folder,
                folder / "nginx.out",
                lambda: _listens(https),
            ),
        )

    @property
    def origin(self) -> str:
        return f"https://{HOST}:{self.https}"

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.certificate)

    def serves(self) -> bool:
        """Whether nginx reaches a replica."""
        connection = http.client.HTTPSConnection(HOST, self.https, context=self.tls(), timeout=5)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == http.HTTPStatus.OK
        finally:
            connection.close()

    @property
    def accesses(self) -> list[dict[str, object]]:
        return [orjson.loads(line) for line in _lines(self.access_log)]

    def start(self) -> None:
        for one in (self.sandbox, *self.replicas, self.nginx):
            one.start()

    def stop(self) -> None:
        for one in (self.nginx, *self.replicas, self.sandbox):
            one.stop()


def _main(folder: Path) -> str:
    """An nginx.conf with the least that the site file needs around it."""
    user = "user root;" if os.geteuid() == 0 else ""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = " ".join(f"{kind}_temp_path {folder / kind};" for kind in kinds)
    return f"""
        {user} daemon off; worker_processes 2; pid {folder / "nginx.pid"}; error_log {folder / "error.log"};
        events {{ worker_connections 4096; }}
        http {{
            {places} include {folder / "site.conf"};
            # Shows what a client of any address is counted by.
            server {{
                listen unix:{folder / "counted.sock"};
                set_real_ip_from unix:; real_ip_header X-Forwarded-For; access_log off;
                location / {{ return 200 $runflow_mcp_client; }}
            }}
        }}
    """


def _settings(port: int, origin: str, sandbox: str) -> dict[str, str]:
    """A replica's, as the site file's head says they must be."""
    return {
        "MCP_PORT": str(port),
        "MCP_PUBLIC_URL": origin,
        "MCP_TRUSTED_PROXIES": f"{HOST}/32",
        "MCP_RATE_LIMIT_PER_IP": str(PER_ADDRESS),
        "RUNFLOW_API_URL": sandbox,
        "RUNFLOW_CATALOG_URL": f"{sandbox}/models-catalog.json",
        "RUNFLOW_SKILL_URL": "",
    }
