# mypy: ignore-errors
# Its SDK is another than the one that is installed beside the tests.
"""An agent with a shell, on the Python SDK 1.x: sends pictures of its own machine, following the texts of the server.

Arguments: the server's URL, the key, the paths of the pictures. It reads the texts of results alone, as most hosts show
them to the model, and prints what it did with each as one JSON text; it goes on after a line of input.
"""

import asyncio
import json
import re
import subprocess
import sys

import httpx
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

MODEL = "runflow/background-removal"


def run(command: str) -> str:
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=20, check=True)  # noqa: S603, S607
    return done.stdout


async def main(url: str, key: str, path: str) -> None:
    calls = []
    async with (
        httpx.AsyncClient(headers={"Authorization": f"Bearer {key}"}) as http,
        streamable_http_client(url, http_client=http) as (read, write, _),
        ClientSession(read, write) as session,
    ):
        greeting = await session.initialize()

        async def generate(image: str, **more: str) -> str:
            answer = await session.call_tool("generate", {"model": MODEL, "input": {"image_url": image}, **more})
            text = answer.content[0].text
            calls.append({"image": image, "error": answer.isError, "text": text})
            return text

        # A model that has not read the instructions gives only the path; the error explains what to do.
        explained = await generate(path)
        size = run(re.search(r"what this prints: (wc -c .*)$", explained, re.MULTILINE)[1]).strip()
        wanted = json.loads(re.search(r'set it to ("(?:[^"\\]|\\.)*");', explained)[1])
        needed = await generate(wanted.replace("<size>", size))
        [line] = [line for line in needed.split("\n") if line.startswith("curl ")]
        run(line)
        reference = re.search(r'^image_url: "(.*)"$', needed, re.MULTILINE)[1]
        client_ref = re.search(r"^client_ref: (.*)$", needed, re.MULTILINE)[1]
        first = json.loads(await generate(reference, client_ref=client_ref))
        # The same once more, for a fresh link; and with the path again, as after a lost conversation.
        second = json.loads(await generate(reference, client_ref=client_ref))
        third = json.loads(await generate(path, client_ref=client_ref))
        async with httpx.AsyncClient() as plain:
            picture = (await plain.get(first["outputs"][0]["url"])).content
    seen = {
        "instructions": greeting.instructions,
        "calls": calls,
        "results": [first, second, third],
        "picture": picture.hex(),
    }
    sys.stdout.write(json.dumps(seen) + "\n")
    sys.stdout.flush()


for each in sys.argv[3:]:
    asyncio.run(main(*sys.argv[1:3], each))
    sys.stdin.readline()
