"""``python -m tests.bench.storm``: thousands of waiting clients lose their connection and all come back at once."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.bench import servers
from tests.bench.machine import BenchError
from tests.bench.report import table
from tests.bench.streams import WARM_UP, product_for_streams, stream_load
from tests.server_process import NotReadyError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.storm", description=__doc__)
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument("--within", type=float, default=1.0, help="seconds in which they come back (default: 1)")
    arguments = parser.parse_args()
    ramp = arguments.clients / 250
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            stream_load() as load,
            product_for_streams(Path(folder), load) as server,
        ):
            servers.wait_until_ready(server)
            load.run(server, WARM_UP)
            seen = load.run(server, (arguments.clients, ramp, ramp + 20), storm=arguments.within)
    except (BenchError, NotReadyError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command
        return 1
    figures = {
        "clients": f"{seen.count:,}, back within {arguments.within:g} s, each with its client_ref",
        "finished": "all" if seen.finished == seen.count else f"{seen.finished:,}; others: {'; '.join(seen.failures)}",
        "ms to the first byte, p50 / p99": f"{seen.first_byte_p50 or 0:.0f} / {seen.first_byte_p99 or 0:.0f}",
        "ms from Runflow's answer to the client, p50 / p99": f"{seen.delay_p50 or 0:.1f} / {seen.delay_p99 or 0:.1f}",
        "peak MiB": f"{seen.peak_mib:.0f}",
    }
    for line in table(("", ""), [*figures.items()]):
        print(line)  # noqa: T201
    return 0 if seen.finished == seen.count else 1


if __name__ == "__main__":
    sys.exit(main())
