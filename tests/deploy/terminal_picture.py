"""The README's picture: a real session of ``runflow-mcp check`` against the sandbox, drawn as a terminal.

``python -m tests.deploy.terminal_picture`` runs the session on the default ports, 8080 and 8090, which must be free,
and writes ``deploy/images/terminal.svg``: every line as it was printed, and the picture that the run returned.
"""

import base64
import html
import io
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from tests.server_process import SERVE, ServerProcess

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "deploy" / "images" / "terminal.svg"
#: The Quickstart's second command.
ARGUMENTS = (
    "check", "--key", "rf_live_sandbox", "--generate", "google/nano-banana-2", '{"prompt": "a lighthouse at dusk"}',
)  # fmt: skip
SHOWN = f".venv/bin/runflow-mcp {' '.join(ARGUMENTS[:-1])} '{ARGUMENTS[-1]}'"
COLUMNS, FONT, LINE, MARGIN, BAR = 122, 12, 18, 20, 34
CHARACTER = FONT * 0.602
THUMBNAIL = 200


def session() -> tuple[list[str], bytes]:
    """The lines that the command printed, and the picture that its last line names."""
    with sandbox_server():
        ended = subprocess.run(  # noqa: S603 - fixed arguments
            [sys.executable, "-m", "runflow_mcp", *ARGUMENTS], capture_output=True, text=True, check=True, timeout=60
        )
        lines = ended.stdout.splitlines()
        with urllib.request.urlopen(lines[-1].split()[-1], timeout=10) as response:  # noqa: S310 - the sandbox's own
            return lines, response.read()


@contextmanager
def sandbox_server(**settings: str) -> Iterator[None]:
    """``make run``, without make, on the port that it has, and with these settings."""
    with TemporaryDirectory() as folder:
        command = (*SERVE, "--sandbox")
        with ServerProcess.of(Path(folder), *command, settings={"MCP_PORT": "8080", **settings}) as server:
            server.wait_until_ready()
            yield
            server.stop()


def thumbnail(picture: bytes) -> str:
    """The picture as a small JPEG in a ``data:`` URI."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.thumbnail((2 * THUMBNAIL, 2 * THUMBNAIL))
    small = io.BytesIO()
    image.save(small, "JPEG", quality=82, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(small.getvalue()).decode()}"


def drawing(lines: list[str], picture: bytes) -> str:
    """The SVG: a terminal of ``COLUMNS`` columns, its long lines wrapped, with the picture under them."""
    rows = [line[at : at + COLUMNS] for line in lines for at in range(0, max(len(line), 1), COLUMNS)]
    width = round(COLUMNS * CHARACTER + 2 * MARGIN)
    bottom = BAR + MARGIN + len(rows) * LINE
    height = bottom + THUMBNAIL + MARGIN
    spans = "\n".join(
        f'<tspan x="{MARGIN}" y="{BAR + MARGIN + number * LINE}">{html.escape(row, quote=False)}</tspan>'
        for number, row in enumerate(rows)
    )
    dots = "".join(
        f'<circle cx="{20 + 18 * number}" cy="17" r="5.5" fill="{color}"/>'
        for number, color in enumerate(("#ff5f57", "#febc2e", "#28c840"))
    )
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">
<title>runflow-mcp check runs a model through the server and prints the address of the picture</title>
<rect width="{width}" height="{height}" rx="9" fill="#161b22"/>
<path d="M0 {BAR}V9a9 9 0 0 1 9-9h{width - 18}a9 9 0 0 1 9 9v{BAR - 9}z" fill="#2d333b"/>
{dots}
<text xml:space="preserve" fill="#d0d7de" font-size="{FONT}" \
font-family="ui-monospace,SFMono-Regular,Menlo,'DejaVu Sans Mono',Consolas,monospace">
{spans}
</text>
<image x="{MARGIN}" y="{bottom}" width="{THUMBNAIL}" height="{THUMBNAIL}" href="{thumbnail(picture)}"/>
</svg>
"""


def main() -> None:
    lines, picture = session()
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(drawing([f"$ {SHOWN}", *lines], picture), encoding="utf-8")


if __name__ == "__main__":
    main()
