"""A deployment on loopback: the sandbox in place of Runflow, two replicas, and nginx with the real site file.

All are processes of their own. The site file is changed in its addresses and paths alone, and every change must hit.
"""

import http.client
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Self

import attrs
import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.deploy.deploy_files import SITE
from tests.required_programs import require
from tests.server_process import HOST, ServerProcess, clean_environment, whole_lines
from tests.serving import free_port, upstream_settings

#: A replica admits this many requests of one address and minute; every test comes from an address of its own.
PER_ADDRESS = 10
#: Runs take 1 to 1.5 s, so that the first poll, after 2 s, finds them ended.
SPEED = 4
#: The names of the certificate and key in the site file.
CHAIN, KEY = "fullchain.pem", "privkey.pem"


def _ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


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
    folder: Path
    sandbox: ServerProcess
    replicas: tuple[ServerProcess, ServerProcess]
    nginx: ServerProcess

    @classmethod
    def make(cls, folder: Path, *, workers: tuple[int, int] = (1, 1), **settings: str) -> "Stack":
        """``workers``: the processes of each replica. ``settings``: besides those that the site file needs."""
        binary = require("nginx")
        https, plain, first, second = (free_port() for _ in range(4))
        (folder / "site.conf").write_text(site_in(folder, https=https, plain=plain, replicas=(first, second)))
        (folder / "nginx.conf").write_text(nginx_main(folder))
        port = str(free_port())
        simulation = ("runflow_mcp", "sandbox", "--port", port, "--speed", str(SPEED))
        sandbox = ServerProcess.of(folder, *simulation, settings={"MCP_PORT": port}, ready_path="/v1/health")

        def replica(port: int, processes: int) -> ServerProcess:
            needed = _settings(port, f"https://{HOST}:{https}", sandbox.origin)
            return ServerProcess.of(folder, settings={**needed, "MCP_WORKERS": str(processes), **settings})

        command = [binary, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
        nginx = ServerProcess(command, folder, https, clean_environment(), ready_path=None)
        replicas = replica(first, workers[0]), replica(second, workers[1])
        return cls(https, plain, folder, sandbox, replicas, nginx)

    @property
    def origin(self) -> str:
        return f"https://{HOST}:{self.https}"

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.folder / CHAIN)

    def serves(self) -> bool:
        """Whether nginx reaches a replica."""
        connection = http.client.HTTPSConnection(HOST, self.https, context=self.tls(), timeout=5)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == http.HTTPStatus.OK
        finally:
            connection.close()

    @property
    def access_log(self) -> Path:
        return self.folder / "access.log"

    @property
    def accesses(self) -> list[dict[str, object]]:
        return [orjson.loads(line) for line in whole_lines(self.access_log)]

    @property
    def replica_log_lines(self) -> list[dict[str, object]]:
        return [line for replica in self.replicas for line in replica.log_lines]

    @contextmanager
    def running(self) -> Iterator[Self]:
        """All processes, from their start to their end; the replicas drain."""
        with self.sandbox, self.replicas[0], self.replicas[1], self.nginx:
            for process in (self.sandbox, *self.replicas, self.nginx):
                process.wait_until_ready()
            yield self
            for process in (self.nginx, *self.replicas, self.sandbox):
                process.stop()


def nginx_main(folder: Path) -> str:
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
        **upstream_settings(sandbox),
    }
