# mypy: ignore-errors
# Its extension of the SDK is not installed beside the tests.
"""A host on fastmcp with its tasks extension: does one step and prints what it saw as one JSON text.

Arguments: the server's URL, the key, the step.
"""

import asyncio
import json
import sys

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp_tasks import call_tool_task

Seen = dict[str, object]
ORDER = {"model": "google/nano-banana-2", "input": {"prompt": "a lighthouse"}}


async def call(client: Client, order: Seen) -> Seen:
    """An ordinary call, which the extension drives to its end."""
    result = await client.call_tool("generate", order, raise_on_error=False)
    return {"error": result.is_error, "structured": result.structured_content, "text": result.content[0].text}


async def handle(client: Client, order: Seen) -> Seen:
    """A call that returns with the task, to be asked for and cancelled."""
    task = await call_tool_task(client, "generate", order)
    first = await task.status()
    await task.cancel()
    last = await task.wait(timeout=20)
    result = await task.result()
    return {"id": task.task_id, "states": [first.status, last.status], "structured": result.structured_content}


async def main(url: str, key: str, step: str, model: str) -> None:
    async with Client(StreamableHttpTransport(url, auth=key)) as client:
        seen = await {"call": call, "handle": handle}[step](client, {**ORDER, "model": model})
    sys.stdout.write(json.dumps(seen) + "\n")


asyncio.run(main(*sys.argv[1:]))
