"""A picture of the agent's machine, as an agent does it: a real client, a real file, a real shell with a real curl."""

import io
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.clients.peer_programs import PINS, conversation, python_peer
from tests.required_programs import require
from tests.scripted_sandbox import ScriptedSandbox
from tests.serving import KEY, Server

pytestmark = pytest.mark.real_time

Colour = tuple[int, int, int]
#: Left and right, of each picture.
COLOURS: list[tuple[Colour, Colour]] = [((255, 0, 255), (0, 255, 1)), ((0, 255, 1), (255, 0, 255))]


def names_in(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


async def test_an_agent_sends_local_pictures_and_gets_ones_that_show_them(
    server: Server, sandbox: ScriptedSandbox, tmp_path: Path
) -> None:
    require("curl")
    packages = python_peer("python_sdk_1")
    folder = tmp_path / "pictures"
    folder.mkdir()
    names = ["shoe.png", 'it\'s my "best" $(touch owned) shoe\n👟.png']
    paths = [folder / name for name in names]
    for path, (left, right) in zip(paths, COLOURS, strict=True):
        sent = Image.new("RGB", (40, 40), left)
        sent.paste(right, (20, 0, 40, 40))
        sent.save(path, "PNG")
    script = str(PINS / "local_file_agent.py")
    command = (sys.executable, "-S", script, server.url, KEY, *map(str, paths))
    async with conversation(*command, home=tmp_path, PYTHONPATH=str(packages)) as talk:
        for number, colours in enumerate(COLOURS, 1):
            seen = await talk.receive()
            assert "#bytes=" in seen["instructions"]
            assert [call["error"] for call in seen["calls"]] == [True, True, False, False, False]
            assert [call["text"].partition("]")[0] for call in seen["calls"][:2]] == ["[local_file", "[upload_needed"]
            assert len({result["run_id"] for result in seen["results"]}) == 1
            assert len(list(sandbox.runs)) == number
            shows(Image.open(io.BytesIO(bytes.fromhex(seen["picture"]))).convert("RGB"), colours)
            await talk.send("next")
    assert set(names_in(folder)) == set(names)
    assert "owned" not in names_in(Path.cwd()), "the shell has carried out a part of the name"


def shows(drawn: Image.Image, colours: tuple[Colour, Colour]) -> None:
    """Assert that the middle of a picture has these colours, left and right."""
    middle, across, up = (drawn.width // 2, drawn.height // 2), drawn.width // 5, drawn.height // 5
    for left, colour in zip((-across, across - 1), colours, strict=True):
        for top in (-up, 0, up - 1):
            assert drawn.getpixel((middle[0] + left, middle[1] + top)) == colour
