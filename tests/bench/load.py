"""Load on one address by wrk, and what it cost the server."""

import shutil
import subprocess
import tempfile
from collections.abc import Mapping

import attrs
import orjson

from tests.bench.machine import LAST, BenchError, cores, cpu_seconds, on_core
from tests.bench.rows import Request

#: Keep-alive connections, each with one request at a time.
CONNECTIONS = 64
#: Seconds that wrk may take beyond its duration.
PATIENCE = 20
#: A round of this many seconds without an answer is a failure; a shorter one is repeated with more time.
LONGEST = 10
_SCRIPT = """
wrk.method = "POST"
wrk.body = %s
%s
done = function(summary, latency)
  local e = summary.errors
  io.stderr:write(string.format('{"requests":%%d,"microseconds":%%d,"errors":%%d,"p50":%%d,"p99":%%d}\\n',
    summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


@attrs.frozen
class Figure:
    """What one round has measured. ``rate``: requests/s; ``cpu``: the server's µs per request; latencies in ms."""

    rate: float
    cpu: float
    p50: float
    p99: float


def find_wrk() -> str:
    """The path of wrk. Raises ``BenchError`` where it is not installed."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise BenchError("wrk is not installed, which sends the load. On Debian and Ubuntu: apt install wrk")
    return wrk


@attrs.frozen
class Callers:
    """Many callers in turn, each with its own address (behind a trusted proxy) and its own key.

    ``first`` is the number of the first. ``keyless``: they bring no key.
    """

    count: int
    first: int = 0
    keyless: bool = False

    @property
    def script(self) -> str:
        """Lua that makes each request. wrk's own function for that takes as long as a short answer of the server."""
        key = "''" if self.keyless else "'Authorization: Bearer rf_live_bench_' .. caller .. '\\r\\n'"
        return f"""
local first_line, rest, n = nil, nil, 0
init = function()
  wrk.headers['Authorization'] = nil
  local whole = wrk.format()
  first_line = whole:sub(1, whole:find('\\r\\n', 1, true) + 1)
  rest = whole:sub(#first_line + 1)
end
request = function()
  local caller = {self.first} + n % {self.count}
  n = n + 1
  local address = string.format('10.%d.%d.%d', caller / 65536, caller / 256 % 256, caller % 256)
  return first_line .. {key} .. 'X-Forwarded-For: ' .. address .. '\\r\\n' .. rest
end
"""


@attrs.frozen
class Load:
    """How requests are sent. ``at_once``: the requests that a connection sends together, before it reads their answers.

    ``background``: the load leaves its core to another one that needs it. Without ``pinned`` it runs on any core.
    """

    connections: int = CONNECTIONS
    callers: Callers | None = None
    at_once: int = 1
    pinned: bool = True
    background: bool = False
    errors_allowed: bool = False

    def script(self, request: Request) -> str:
        """The Lua for wrk."""
        if self.callers:
            return _script(request) + self.callers.script
        return _script(request) + (_AT_ONCE % self.at_once if self.at_once > 1 else "")


_AT_ONCE = """
local requests
init = function() requests = wrk.format():rep(%d) end
request = function() return requests end
"""
USUAL = Load()


def measure(url: str, request: Request, pid: int, seconds: int = 1, load: Load = USUAL) -> Figure:
    """Send ``request`` to ``url`` as fast as it is answered. ``pid``: the server's process.

    Raises ``BenchError`` when a request fails or is answered with a status of 400 or above, unless that is allowed.
    """
    wrk = find_wrk()
    enter = on_core(cores()[1], nice=LAST if load.background else 0) if load.pinned else None
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(load.script(request))
        script.flush()
        options = ["-t1", f"-c{load.connections}", f"-d{seconds}s", f"--timeout={PATIENCE}s", "-s", script.name]
        before = cpu_seconds(pid)
        run = subprocess.run(  # noqa: S603 - wrk, with arguments of our own
            [wrk, *options, url],
            check=False,
            capture_output=True,
            text=True,
            timeout=seconds + PATIENCE,
            preexec_fn=enter,
        )
        used = cpu_seconds(pid) - before
    if run.returncode or not run.stderr.startswith("{"):
        raise BenchError(f"wrk ended with {run.returncode}: {run.stderr or run.stdout}")
    seen = orjson.loads(run.stderr)
    if not seen["requests"] and seconds < LONGEST:  # a busy machine
        return measure(url, request, pid, 4 * seconds, load)
    return read_figure({**seen, "errors": 0} if load.errors_allowed else seen, used, url)


def read_figure(seen: Mapping[str, int], used: float, url: str) -> Figure:
    """What wrk has printed, and the seconds of processor time that the server has used meanwhile, as figures.

    Raises ``BenchError`` for errors, and where there was no answer.
    """
    if seen["errors"] or not seen["requests"]:
        raise BenchError(f"{url}: {seen['errors']} errors in {seen['requests']} requests; nothing was measured")
    return Figure(
        rate=seen["requests"] / seen["microseconds"] * 1e6,
        cpu=used / seen["requests"] * 1e6,
        p50=seen["p50"] / 1000,
        p99=seen["p99"] / 1000,
    )


def _script(request: Request) -> str:
    headers = "\n".join(f"wrk.headers[ {_quoted(name)} ] = {_quoted(value)}" for name, value in request.headers.items())
    return _SCRIPT % (_quoted(request.body.decode()), headers)


def _quoted(text: str) -> str:
    """A Lua string."""
    return f"[==[{text}]==]"
