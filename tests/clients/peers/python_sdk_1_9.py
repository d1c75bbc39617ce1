# mypy: ignore-errors
# Its SDK is another than the one that is installed beside the tests.
"""A host on the Python SDK 1.9.4: runs a model and prints the result as one JSON text.

Arguments: the server's URL, the key.
"""

import asyncio
import json
import sys

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

ORDER = {"model": "google/nano-banana-2", "input": {"prompt": "a lighthouse"}}


async def main(url: str, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    async with streamablehttp_client(url, headers=headers) as (read, write, _), ClientSession(read, write) as session:
        greeting = await session.initialize()
        result = await session.call_tool("generate", ORDER)
        seen = {"version": greeting.protocolVersion, "result": result.model_dump(mode="json", exclude_none=True)}
        sys.stdout.write(json.dumps(seen) + "\n")


asyncio.run(main(*sys.argv[1:]))
