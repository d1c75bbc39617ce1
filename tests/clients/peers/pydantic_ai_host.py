# mypy: ignore-errors
# It is not installed beside the tests.
"""A host on pydantic-ai, which reads every link of a result: runs a model and prints what it got as one JSON text.

Arguments: the server's URL, the key.
"""

import asyncio
import json
import sys
import warnings

from pydantic_ai.mcp import MCPServerStreamableHTTP

ORDER = {"model": "google/nano-banana-2", "input": {"prompt": "a lighthouse"}}


async def main(url: str, key: str) -> None:
    with warnings.catch_warnings(action="ignore"):  # its makers would like the successor of this class
        server = MCPServerStreamableHTTP(url, headers={"Authorization": f"Bearer {key}"})
    async with server:
        result = await server.direct_call_tool("generate", ORDER)
        sys.stdout.write(json.dumps({"result": result}) + "\n")


asyncio.run(main(*sys.argv[1:]))
