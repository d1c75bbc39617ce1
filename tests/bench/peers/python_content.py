"""What the peers in Python answer, from the file in ``BENCH_CONTENT``, and how they wait for a run.

Runs in the environments of the peers; imports nothing of this repository but its neighbours.
"""

import asyncio
import json
import os
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pydantic_core
import uvicorn

CONTENT: dict[str, Any] = json.loads(Path(os.environ["BENCH_CONTENT"]).read_text())
PORT = int(os.environ["MCP_PORT"])
#: Plain JSON answers; a waiting generate needs streams.
JSON_ANSWERS = os.environ["BENCH_STREAMS"] != "1"
UPSTREAM = os.environ.get("RUNFLOW_API_URL", "")
#: Seconds between two polls, and the share that jitter takes off, as in the product.
POLL_SECONDS = 2.0
JITTER = 0.1


def list_models(arguments: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The structured result and its text."""
    structured = CONTENT["list_models"][str(arguments["limit"])]
    return structured, pydantic_core.to_json(structured).decode()


class Runs:
    """Starts runs and polls them. One client session for all, with as many connections as needed."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def generate(
        self, arguments: dict[str, Any], authorization: str, report: Callable[[int, str], Awaitable[None]]
    ) -> tuple[dict[str, Any], str]:
        """Start a run and wait for it; ``report`` sends a progress notification after each poll."""
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        headers = {"Authorization": authorization}
        url = f"{UPSTREAM}/v1/models/{arguments['model']}/runs"
        sent = {"input": arguments["input"], "client_ref": arguments.get("client_ref")}
        async with self._session.post(url, json=sent, headers=headers) as response:
            run = await response.json()
        polls = 0
        while run["status_code"] != "succeeded":
            await asyncio.sleep(POLL_SECONDS * random.uniform(1 - JITTER, 1))
            async with self._session.get(f"{UPSTREAM}/v1/runs/{run['id']}", headers=headers) as response:
                run = await response.json()
            polls += 1
            await report(polls, f"{run['status_code']}, {polls} polls")
        structured = {
            "run_id": run["id"],
            "status": run["status_code"],
            "model": arguments["model"],
            "client_ref": run["client_ref"],
            "outputs": [{"url": run["output"]["url"]}],
            "output": run["output"],
        }
        return structured, pydantic_core.to_json(structured).decode()


def serve(app: Any) -> None:
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning", access_log=False, backlog=16_384)
