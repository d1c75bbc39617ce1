# mypy: ignore-errors
# Its SDK is another than the one that is installed beside the tests.
"""A host on the Python SDK 1.x: takes steps against a server, and prints for each what it saw as one JSON text a line.

Arguments: the server's URL, the key, the steps.
"""

import asyncio
import json
import sys
from datetime import timedelta

import httpx
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.types import InitializeResult, PromptReference
from pydantic import AnyUrl

Seen = dict[str, object]
ORDER = {"model": "google/nano-banana-2", "input": {"prompt": "a lighthouse"}}


async def meet(session: ClientSession, greeting: InitializeResult) -> Seen:
    found = await session.call_tool("list_models", {"category": "solution"})
    prompt = await session.get_prompt("smart-resize", {"image_url": "https://example.com/a.png"})
    ref = PromptReference(type="ref/prompt", name="smart-resize")
    completed = await session.complete(ref, {"name": "resolution", "value": "2"})
    return {
        "server": greeting.serverInfo.name,
        "version": greeting.protocolVersion,
        "instructions": greeting.instructions,
        "tools": [tool.name for tool in (await session.list_tools()).tools],
        "prompts": [prompt.name for prompt in (await session.list_prompts()).prompts],
        "found": found.structuredContent,
        "prompt": prompt.messages[0].content.text,
        "values": completed.completion.values,
    }


async def run(session: ClientSession, _greeting: InitializeResult) -> Seen:
    notifications: list[Seen] = []

    async def progress(value: float, total: float | None, message: str | None) -> None:
        notifications.append({"progress": value, "total": total, "message": message})

    result = await session.call_tool("generate", ORDER, timedelta(seconds=10), progress_callback=progress)
    refused = await session.call_tool("generate", {**ORDER, "model": "no/such-model"})
    return {
        "result": result.model_dump(mode="json", exclude_none=True),
        "progress": notifications,
        "refused": refused.model_dump(mode="json", exclude_none=True),
    }


async def read(session: ClientSession, _greeting: InitializeResult) -> Seen:
    started = await session.call_tool("generate", {**ORDER, "wait": False})
    uris = ["skill://runflow/SKILL.md", f"runflow-run://{started.structuredContent['run_id']}"]
    uris.append("runflow-model://google/nano-banana-2")
    read = [(await session.read_resource(AnyUrl(uri))).contents[0] for uri in uris]
    return {
        "resources": [str(resource.uri) for resource in (await session.list_resources()).resources],
        "templates": [template.uriTemplate for template in (await session.list_resource_templates()).resourceTemplates],
        "asked": uris,
        "read": [str(content.uri) for content in read],
        "texts": [content.text for content in read],
    }


STEPS = {step.__name__: step for step in (meet, run, read)}


async def main(url: str, key: str, *steps: str) -> None:
    async with (
        httpx.AsyncClient(headers={"Authorization": f"Bearer {key}"}) as http,
        streamable_http_client(url, http_client=http) as (read, write, _),
        ClientSession(read, write) as session,
    ):
        greeting = await session.initialize()
        for step in steps:
            sys.stdout.write(json.dumps(await STEPS[step](session, greeting)) + "\n")


asyncio.run(main(*sys.argv[1:]))
