"""The shell commands for a caller's file: run by real shells, with a real curl, for files of any name."""

import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from runflow_mcp.runflow.assets.commands import quote, size_command, upload_command
from tests.required_programs import require

HOSTILE = [
    "plain.png",
    "with space.png",
    "it's.png",
    'say "hi".png',
    "$(touch owned).png",
    "`touch owned`.png",
    "; touch owned; .png",
    "a\nb.png",
    "a\n\ntouch owned\n.png",
    "end\n",
    "\r\t\x1b[2J.png",
    "-rf.png",
    "--upload-file.png",
    "-",
    "{a,b}.png",
    "[1-3].png",
    "*.png",
    "~.png",
    "!!.png",
    "$HOME.png",
    "a\\b.png",
    "\\0101\\n%s%b.png",
    "schöne schuhe 👟.png",
    "\u2028\x85\xa0.png",
    "a'\nb\\'$(touch owned).png",
    "#bytes=1.png",
    "%20.png",
]
#: Names that a file of this system may have: not a slash, not NUL, at most 255 bytes.
names = st.text(
    st.one_of(
        st.sampled_from("'\"$`\\;&|<>(){}[]*?!#~%-= \n\t"), st.characters(codec="utf-8", exclude_characters="/\0")
    ),
    min_size=1,
    max_size=40,
).filter(lambda name: name not in (".", "..") and len(name.encode()) <= 255)


@attrs.frozen
class Received:
    target: str
    content_type: str
    authorization: str | None
    body: bytes


class Storage(http.server.BaseHTTPRequestHandler):
    """Takes what is PUT."""

    received: list[Received]
    # So that it answers curl's "Expect: 100-continue", for which curl waits a second otherwise.
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append(Received(self.path, self.headers["Content-Type"], self.headers.get("Authorization"), body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@attrs.frozen
class Machine:
    """A caller's machine: its working directory, and storage that takes uploads at ``url``."""

    folder: Path
    url: str
    received: list[Received]

    def run(self, shell: str, command: str) -> bytes:
        """What the command printed. It must succeed."""
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "NO_PROXY": "*"}
        done = subprocess.run(  # noqa: S603 - a shell is under test
            [shell, "-c", command], cwd=self.folder, env=environ, capture_output=True, timeout=30, check=False
        )
        assert (done.returncode, done.stderr) == (0, b""), command
        return done.stdout


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    require("curl")
    received: list[Received] = []
    handler = type("Handler", (Storage,), {"received": received})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield Machine(tmp_path_factory.mktemp("machine"), f"http://127.0.0.1:{server.server_port}", received)
    server.shutdown()
    server.server_close()
    thread.join()


def upload(machine: Machine, shell: str, path: str, name: str, target: str) -> None:
    file = machine.folder / name
    file.write_bytes(name.encode())
    try:
        machine.received.clear()
        command = upload_command(path, "image/png", machine.url + target)
        assert command.startswith("curl -gfsS -T ")
        assert "\n" not in command or name.endswith("\n")
        assert machine.run(shell, command) == b""
        assert machine.received == [Received(target, "image/png", None, name.encode())]
        assert int(machine.run(shell, size_command(path))) == len(name.encode())
        assert [each.name for each in machine.folder.iterdir()] == [name]
    finally:
        file.unlink()


@pytest.mark.parametrize("shell", [shell for shell in ("sh", "bash", "zsh") if shutil.which(shell)])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_of_a_hostile_name_is_uploaded_and_nothing_else_happens(machine: Machine, shell: str, name: str) -> None:
    for path in (f"./{name}", name, str(machine.folder / name), f"~/{name}"):
        upload(machine, shell, path, name, "/put?sig=a")


@given(name=names)
@example(name="-")
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_file_of_any_name_is_uploaded_and_nothing_else_happens(machine: Machine, name: str) -> None:
    upload(machine, "sh", f"./{name}", name, "/put?sig=a")


@pytest.mark.parametrize("target", ["/a?sig='$(id)'", "/{a,b}/[1-3]?x=%20&y=`id`;z", '/"?a=b#'])
def test_a_url_is_expanded_by_neither_shell_nor_curl(machine: Machine, target: str) -> None:
    (machine.folder / "x.png").write_bytes(b"x")
    machine.received.clear()
    machine.run("sh", upload_command("x.png", "image/png", machine.url + target))
    assert [each.target for each in machine.received] == [target.rstrip("#")]
    (machine.folder / "x.png").unlink()


def test_a_missing_file_is_reported_by_curl(machine: Machine) -> None:
    done = subprocess.run(  # noqa: S602 - a shell is under test
        upload_command("./missing.png", "image/png", machine.url), shell=True, capture_output=True, check=False
    )
    assert done.returncode != 0
    assert b"curl: (26)" in done.stderr


def test_words_are_always_in_quotation_marks() -> None:
    assert quote("x") == "'x'"
    assert upload_command("~/my shoe.png", "image/png", "https://x/?a=b") == (
        "curl -gfsS -T ~/'my shoe.png' -H 'Content-Type: image/png' 'https://x/?a=b'"
    )
    assert upload_command("-x.png", "image/png", "https://x/") == (
        "curl -gfsS -T './-x.png' -H 'Content-Type: image/png' 'https://x/'"
    )
