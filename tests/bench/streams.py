"""Waiting ``generate`` streams: what each costs, and how late its result arrives."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import cattrs
import orjson

from tests.bench import servers
from tests.bench.machine import BenchError, cores, on_core
from tests.bench.peers_installed import Peer
from tests.bench.rows import LEGACY
from tests.bench.servers import LINE_ON
from tests.bench.stream_load import WaveFigures, WaveOrder
from tests.server_process import ROOT, ServerProcess, clean_environment
from tests.serving import upstream_settings

#: Twenty callers with 500 waits each.
WAIT_LIMITS = {"MCP_MAX_WAITS": "10000"}
#: A few calls first, so that what a server allocates only once is not counted for the streams.
WARM_UP = (40, 1.0, 3.0)


@attrs.frozen
class StreamLoad:
    """The process that sends the load and plays Runflow."""

    process: "subprocess.Popen[str]"
    upstream: str

    def run(
        self,
        server: ServerProcess,
        wave: tuple[int, float, float],
        revision: str = LEGACY,
        storm: float | None = None,
    ) -> WaveFigures:
        """One wave of (clients, ramp, duration) on ``server``; see ``WaveOrder``."""
        order = WaveOrder(server.port, server.process.pid, *wave, revision, storm)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(orjson.dumps(attrs.asdict(order)).decode() + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise BenchError("The process that sends the streams has ended; its own message is above.")
        return cattrs.structure(orjson.loads(line), WaveFigures)


@contextmanager
def stream_load(models: int | None = None) -> Iterator[StreamLoad]:
    """The load on its core, until the end of the block. ``models``: how many its catalog has, if not the sandbox's."""
    process = subprocess.Popen(  # noqa: S603 - a module of this repository
        [sys.executable, "-m", "tests.bench.stream_load", *([str(models)] if models else [])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=clean_environment(),
        preexec_fn=on_core(cores()[1]),  # noqa: PLW1509 - it calls the system and nothing else
    )
    try:
        assert process.stdout is not None
        yield StreamLoad(process, f"http://127.0.0.1:{process.stdout.readline().strip()}")
    finally:
        process.kill()
        process.wait()


def product_for_streams(folder: Path, load: StreamLoad, **settings: str) -> ServerProcess:
    """The product in front of the load's Runflow, with its access line."""
    own = {**upstream_settings(load.upstream), **WAIT_LIMITS, **LINE_ON, **settings}
    return servers.product(folder, own, command=("serve",))


def peer_for_streams(folder: Path, peer: Peer, content: Path, load: StreamLoad) -> ServerProcess:
    return peer.process(folder, content, load.upstream, streams=True)


def waves(
    server: ServerProcess, load: StreamLoad, plan: tuple[tuple[int, float, float], ...], revision: str = LEGACY
) -> list[WaveFigures]:
    """Start the server, warm it up, run the waves of (count, ramp, duration) one after the other, end it."""
    with server:
        servers.wait_until_ready(server)
        load.run(server, WARM_UP, revision)
        return [load.run(server, wave, revision) for wave in plan]
