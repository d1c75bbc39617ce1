# mypy: ignore-errors
# Its extension of the SDK is not installed beside the tests.
"""A host on fastmcp with its tasks extension: two runs as tasks, and what it saw of them as one JSON text.

Arguments: the server's URL, the key.
"""

import asyncio
import json
import sys

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp_tasks import call_tool_task
from fastmcp_tasks.client_models import CancelTaskRequest, GetTaskRequest

ORDER = {"model": "google/nano-banana-2", "input": {"prompt": "a lighthouse"}}

# fastmcp-tasks 4.1.2 leaves out the header Mcp-Name, which SEP-2663 obliges clients to send; the SDK adds it by this.
GetTaskRequest.name_param = CancelTaskRequest.name_param = "taskId"


async def main(url: str, key: str) -> None:
    async with Client(StreamableHttpTransport(url, auth=key)) as client:
        # A call that returns with the task, to be asked for, cancelled and waited for.
        task = await call_tool_task(client, "generate", ORDER)
        first = await task.status()
        await task.cancel()
        last = await task.wait(timeout=20)
        result = await task.result()
        # An ordinary call, which the extension drives to its end.
        failed = await client.call_tool("generate", {**ORDER, "model": "sandbox/failing"}, raise_on_error=False)
    seen = {
        "id": task.task_id,
        "states": [first.status, last.status],
        "result": result.structured_content,
        "failed": {"error": failed.is_error, "structured": failed.structured_content, "text": failed.content[0].text},
    }
    sys.stdout.write(json.dumps(seen) + "\n")


asyncio.run(main(*sys.argv[1:]))
