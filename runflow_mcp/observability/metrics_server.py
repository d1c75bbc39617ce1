"""The listener for ``GET /metrics``: of this process, or of the workers of a parent process.

Needs the extra ``metrics``. It has a thread of its own, so it also answers while the event loop is late, one request
after the other.
"""

import socket
import socketserver
import sys
import threading
from contextlib import suppress
from http.server import HTTPServer
from typing import Any, Self

import attrs
import structlog
from prometheus_client import MetricsHandler
from prometheus_client.registry import Collector

from runflow_mcp.observability.exposition import Processes, registry_of
from runflow_mcp.observability.metric_memory import MetricMemory

log = structlog.get_logger(__name__)

PATH = "/metrics"
#: Seconds for one request and its answer.
TIMEOUT = 5.0


class _Server(HTTPServer):
    def __init__(self, host: str, port: int, registry: Collector) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _handler(registry))

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6 and socket.has_dualstack_ipv6():
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # Not HTTPServer's own: that one asks DNS for this machine's name.
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        # The handler's own time-out restarts with each byte that a client sends.
        end = threading.Timer(TIMEOUT, _shut_down, [request])
        end.daemon = True
        end.start()
        try:
            super().process_request(request, client_address)
        finally:
            end.cancel()

    def handle_error(self, *_args: object) -> None:
        """Usually the client has left early."""
        log.debug("metrics_request_failed", error=type(sys.exception()).__name__)


def _shut_down(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _handler(registry: Collector) -> type[MetricsHandler]:
    class Handler(MetricsHandler):
        server_version, sys_version = "runflow-mcp", ""

        def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
            if self.path.partition("?")[0] != PATH:
                self.send_error(404, explain=f"The metrics are at {PATH}.")
                return
            super().do_GET()

    Handler.registry = registry
    return Handler


@attrs.define
class MetricsListener:
    """A listener that has started."""

    _server: _Server
    _processes: Processes
    _thread: threading.Thread = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    @classmethod
    def of_process(cls, host: str, port: int, memory: MetricMemory) -> Self:
        """Serve the metrics of this process, which are in ``memory``. Raises ``OSError`` when it cannot listen."""
        processes = Processes()
        processes.add(None, memory)
        return cls(_Server(host, port, registry_of(processes, workers=False)), processes)

    @classmethod
    def of_workers(cls, host: str, port: int) -> Self:
        """Serve the sum over the workers of this process. Raises ``OSError`` when it cannot listen.

        For each worker: ``memory = MetricMemory.share()``; start the worker with ``memory.descriptor``, which it opens
        with ``MetricMemory(descriptor)``; then call ``worker_started``.
        """
        processes = Processes()
        return cls(_Server(host, port, registry_of(processes, workers=True)), processes)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def worker_started(self, process_id: int, memory: MetricMemory) -> None:
        self._processes.add(process_id, memory)

    def worker_ended(self, process_id: int) -> None:
        """What the worker counted stays in the sum. Call it once the process has been waited for."""
        self._processes.remove(process_id)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
