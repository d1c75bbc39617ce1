"""A client of the sandbox for tests: one method per thing a client of Runflow does."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import aiohttp
import attrs
import orjson

from runflow_mcp.sandbox import Sandbox

KEY = "rf_live_sandbox"
PROMPT = {"prompt": "a lighthouse at dusk"}
MODEL = "google/nano-banana-2"
SOLUTION = "runflow/background-removal"


@attrs.frozen
class Reply:
    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.content)

    @property
    def refusal(self) -> tuple[int, str]:
        return self.status, self.json["code"]


@attrs.frozen
class Client:
    sandbox: Sandbox
    url: str
    _session: aiohttp.ClientSession

    async def request(
        self,
        method: str,
        path: str,
        *,
        key: str | None = KEY,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
    ) -> Reply:
        """``path`` may also be a whole URL of the sandbox."""
        bearer = {} if key is None else {"Authorization": f"Bearer {key}"}
        url = self.url + path.removeprefix(self.url)
        async with self._session.request(method, url, headers={**bearer, **(headers or {})}, data=data) as response:
            return Reply(response.status, response.headers, await response.read())

    async def get(self, path: str, *, key: str | None = KEY, headers: Mapping[str, str] | None = None) -> Reply:
        return await self.request("GET", path, key=key, headers=headers)

    async def create(
        self,
        model: str = MODEL,
        values: Mapping[str, object] | None = None,
        *,
        key: str | None = KEY,
        idempotency_key: str | None = None,
        **fields: object,
    ) -> Reply:
        """Dispatch a run; ``fields`` are the other members of the body."""
        return await self.request(
            "POST",
            f"/v1/models/{model}/runs",
            key=key,
            headers={} if idempotency_key is None else {"Idempotency-Key": idempotency_key},
            data=orjson.dumps({"input": PROMPT if values is None else values, **fields}),
        )

    async def run(self, run_id: str, *, key: str = KEY) -> Reply:
        return await self.get(f"/v1/runs/{run_id}", key=key)

    async def finished(self, model: str = MODEL, values: Mapping[str, object] | None = None) -> Any:
        """Create a run, let it end, and return it."""
        created = (await self.create(model, values)).json
        [run] = [run for run in self.sandbox.runs if run.id == created["id"]]
        # A little longer, for the sum of the stages is a rounded figure.
        await self.sandbox.clock.sleep(run.behaviour.course.seconds + 0.001)
        return (await self.run(created["id"])).json


Serve: TypeAlias = Callable[[Sandbox], Awaitable[Client]]
