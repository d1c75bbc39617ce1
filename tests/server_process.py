"""``runflow-mcp`` (or a program beside it) as a process of its own: started, awaited, read, signalled and always ended.

Every method blocks, with a limit. A test whose event loop must go on meanwhile calls it in a thread:
``await asyncio.to_thread(server.wait_until_ready)``.
"""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import attrs
import orjson

from tests.eventually import PATIENCE, eventually
from tests.serving import free_port

HOST = "127.0.0.1"
ROOT = Path(__file__).parent.parent
SERVE = ("runflow_mcp", "serve")
#: Settings under which no number of requests is too many.
NO_RATE_LIMITS = {f"MCP_RATE_LIMIT_{name}": "1000000000" for name in ("PRE_AUTH_PER_IP", "PER_IP", "PER_KEY")}
#: What a probe sees where the server closes the connection without a word, and after how many in a row it is broken.
UNANSWERED, MAX_UNANSWERED = "it closes the connection without an answer", 50
#: Lines at each end of a log that a failure shows.
EXCERPT = 40
#: The last one would have every process compile all of this project anew.
_SETTINGS = ("MCP_", "RUNFLOW_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "PYTHONDONTWRITEBYTECODE")


class NotReadyError(AssertionError):
    """The process ended, or did not become ready in time; the message has its output."""


def clean_environment() -> dict[str, str]:
    """This process's environment without settings, so that those of a person's shell are not under test."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(_SETTINGS)}


@attrs.define(eq=False)
class ServerProcess:
    """A process, and its log: what it writes to standard output and standard error.

    As a context manager it starts, and is killed at the end if it still runs. It can be started again.
    """

    command: Sequence[str]
    folder: Path
    port: int
    environ: Mapping[str, str]
    #: The address that it listens on.
    host: str = HOST
    #: The path that is answered with 200 once it is ready; None where listening on the port is enough.
    ready_path: str | None = "/readyz"
    #: Descriptors in the place of the log.
    stdout: int | None = None
    stderr: int | None = None
    #: A descriptor; None for no input.
    stdin: int | None = None
    #: Called in the new process before the program starts.
    before_exec: Callable[[], object] | None = None
    #: Whether it leads a session of its own, so that its children can be signalled, and are killed, with it.
    own_session: bool = False
    _process: "subprocess.Popen[bytes] | None" = None

    @classmethod
    def of(cls, folder: Path, *command: str, settings: Mapping[str, str], **options: Any) -> "ServerProcess":
        """``python -m`` with this command, on a free port or that of ``settings``, with these settings and no others.

        ``folder`` is its working directory and holds its log.
        """
        port = int(settings.get("MCP_PORT") or free_port())
        environ = {**clean_environment(), "PYTHONPATH": str(ROOT), **settings, "MCP_PORT": str(port)}
        return cls([sys.executable, "-m", *(command or SERVE)], folder, port, environ, **options)

    # Life

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, and return at once."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - programs of this project's own, and nginx
                self.command,
                env=dict(self.environ),
                cwd=self.folder,
                stdin=subprocess.DEVNULL if self.stdin is None else self.stdin,
                stdout=log if self.stdout is None else self.stdout,
                stderr=log if self.stderr is None else self.stderr,
                preexec_fn=self.before_exec,  # noqa: PLW1509 - it calls the system and nothing else
                start_new_session=self.own_session,
            )

    def wait_until_ready(self) -> None:
        """Return once it is ready. Raises ``NotReadyError`` with its output."""
        self.wait_for_status(200, self.ready_path)

    def wait_for_status(self, status: int, path: str | None) -> None:
        """Return once a GET of ``path`` has this status. Raises ``NotReadyError`` with the output of the process."""
        seen: deque[int | str] = deque(maxlen=MAX_UNANSWERED)

        def not_ready(why: str) -> NotReadyError:
            return NotReadyError(f"{self.command} {why}\n{excerpt(self.output)}")

        def has_status() -> bool:
            if self.exit_code is not None:
                raise not_ready(f"ended with {self.exit_code}:")
            if path is None:
                return self.listens()
            seen.append(self._probe(path))
            if seen.count(UNANSWERED) == MAX_UNANSWERED:  # an error in its code, which does not go away by waiting
                raise not_ready(f"does not answer {path}: {UNANSWERED}")
            return seen[-1] == status

        try:
            eventually(has_status)
        except NotReadyError:
            raise
        except AssertionError as error:
            raise not_ready(f"does not answer {path} with {status}: {error}; the last answer: {[*seen][-1:]}") from None

    def send_signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def signal_session(self, number: signal.Signals) -> None:
        """Send a signal to all of its session, as a terminal does. Raises ``ProcessLookupError`` when none is left."""
        os.killpg(self.process.pid, number)

    def wait(self, seconds: float = PATIENCE) -> int:
        """Its exit code, once it has ended by itself or by a signal that was sent."""
        return self.process.wait(seconds)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and wait; the exit code."""
        try:
            self.send_signal(number)
            return self.wait()
        finally:
            self.kill()

    def kill(self) -> None:
        """End it, and with a session of its own its children, if they still run."""
        if self._process is None:
            return
        if self.own_session:
            with contextlib.suppress(ProcessLookupError):
                self.signal_session(signal.SIGKILL)
        elif self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    # What can be seen of it

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, "it was never started"
        return self._process

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self.process.poll()

    @property
    def log(self) -> Path:
        return self.folder / f"log-{self.port}"

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def log_lines(self) -> list[dict[str, Any]]:
        """The JSON lines that it has logged; the process may be writing the last one."""
        return [orjson.loads(line) for line in whole_lines(self.log) if line.startswith(b"{")]

    @property
    def origin(self) -> str:
        return f"http://{self.host}:{self.port}"

    def status(self, path: str) -> int | None:
        """The status of a GET; None when no answer comes."""
        answer = self._probe(path)
        return answer if isinstance(answer, int) else None

    def _probe(self, path: str) -> int | str:
        """The status of a GET, or why there is none."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except ConnectionResetError:
            return UNANSWERED
        except (OSError, http.client.HTTPException) as error:
            return str(error)
        finally:
            connection.close()

    def listens(self) -> bool:
        try:
            with socket.create_connection((self.host, self.port), timeout=5):
                return True
        except OSError:
            return False


def excerpt(output: str) -> str:
    """A log without its middle, where it is long: the cause of a failure is at one of its ends."""
    lines = output.splitlines()
    left_out = len(lines) - 2 * EXCERPT
    return output if left_out <= 0 else "\n".join([*lines[:EXCERPT], f"… {left_out} lines …", *lines[-EXCERPT:]])


def whole_lines(log: Path) -> list[bytes]:
    """The lines of a file that another process may be writing to, without a last one that has no end yet."""
    return log.read_bytes().rpartition(b"\n")[0].splitlines()
