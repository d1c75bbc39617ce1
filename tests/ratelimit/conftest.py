"""A real Redis server on its own port, which tests may kill and restart."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.eventually import eventually
from tests.required_programs import require
from tests.serving import free_port


@attrs.define
class RedisServer:
    """A redis-server without persistence: killing it loses its data."""

    binary: str
    folder: Path
    port: int = attrs.field(factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        settings = {"port": str(self.port), "bind": "127.0.0.1", "save": "", "appendonly": "no"}
        arguments = [text for name, value in settings.items() for text in (f"--{name}", value)]
        self.process = subprocess.Popen(  # noqa: S603 - the program that `require` found
            [self.binary, *arguments, "--dir", str(self.folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        eventually(self._answers, "redis-server answers")

    def _answers(self) -> bool:
        with self.client() as client:
            try:
                return bool(client.ping())
            except (RedisError, OSError):
                return False

    def kill(self) -> None:
        """As ``kill -9``: clients get no notice."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def client(self) -> Redis:
        return Redis(host="127.0.0.1", port=self.port, decode_responses=True)

    def calls(self) -> dict[str, int]:
        """How often each command was run since the last ``reset``, those of this question aside."""
        with self.client() as client:
            stats = client.info("commandstats")
        assert isinstance(stats, dict)
        counted = {name.removeprefix("cmdstat_"): command["calls"] for name, command in stats.items()}
        return {
            name: calls for name, calls in counted.items() if not name.startswith(("client", "config", "hello", "info"))
        }

    def reset(self) -> None:
        with self.client() as client:
            client.config_resetstat()


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(require("redis-server"), tmp_path)
    server.start()
    yield server
    server.kill()
