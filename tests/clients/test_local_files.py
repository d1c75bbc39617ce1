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

MAGENTA, GREEN = (255, 0, 255), (0, 255, 1)


def names_in(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


@pytest.mark.parametrize("name", ["shoe.png", 'it\'s my "best" $(touch owned) shoe\n👟.png'], ids=["plain", "hostile"])
async def test_an_agent_sends_a_local_picture_and_gets_one_that_shows_it(
    server: Server, sandbox: ScriptedSandbox, tmp_path: Path, name: str
) -> None:
    require("curl")
    packages = python_peer("python_sdk_1")
    folder = tmp_path / "pictures"
    folder.mkdir()
    sent = Image.new("RGB", (40, 40), MAGENTA)
    sent.paste(GREEN, (20, 0, 40, 40))
    sent.save(folder / name, "PNG")
    script = str(PINS / "local_file_agent.py")
    command = (sys.executable, "-S", script, server.url, KEY, str(folder / name))
    async with conversation(*command, home=tmp_path, PYTHONPATH=str(packages)) as talk:
        seen = await talk.receive()
    assert "#bytes=" in seen["instructions"]
    assert [call["error"] for call in seen["calls"]] == [True, True, False, False, False]
    assert [call["text"].partition("]")[0] for call in seen["calls"][:2]] == ["[local_file", "[upload_needed"]
    assert len({result["run_id"] for result in seen["results"]}) == len(list(sandbox.runs)) == 1
    drawn = Image.open(io.BytesIO(bytes.fromhex(seen["picture"]))).convert("RGB")
    middle, across, up = (drawn.width // 2, drawn.height // 2), drawn.width // 5, drawn.height // 5
    for left, colour in ((-across, MAGENTA), (across - 1, GREEN)):
        for top in (-up, 0, up - 1):
            assert drawn.getpixel((middle[0] + left, middle[1] + top)) == colour
    assert names_in(folder) == [name]
    assert "owned" not in names_in(Path.cwd()), "the shell has carried out a part of the name"
