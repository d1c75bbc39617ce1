"""A client of the sandbox: one method per operation of Runflow's API."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import aiohttp
import attrs
import orjson

from tests.scripted_sandbox import ScriptedSandbox

KEY = "rf_live_sandbox"
PROMPT = {"prompt": "a lighthouse at dusk"}
MODEL = "google/nano-banana-2"
SOLUTION = "runflow/background-removal"


@attrs.frozen
class Response:
    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.content)

    @property
    def error_code(self) -> tuple[int, str]:
        """The HTTP status and the code in the body."""
        return self.status, self.json["code"]


@attrs.frozen
class Client:
    sandbox: ScriptedSandbox
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
    ) -> Response:
        """``path`` may also be a whole URL of the sandbox."""
        bearer = {} if key is None else {"Authorization": f"Bearer {key}"}
        url = self.url + path.removeprefix(self.url)
        async with self._session.request(method, url, headers={**bearer, **(headers or {})}, data=data) as response:
            return Response(response.status, response.headers, await response.read())

    async def get(self, path: str, *, key: str | None = KEY, headers: Mapping[str, str] | None = None) -> Response:
        return await self.request("GET", path, key=key, headers=headers)

    async def create(
        self,
        model: str = MODEL,
        values: Mapping[str, object] | None = None,
        *,
        key: str | None = KEY,
        idempotency_key: str | None = None,
        **fields: object,
    ) -> Response:
        """Dispatch a run; ``fields`` are the other members of the body."""
        return await self.request(
            "POST",
            f"/v1/models/{model}/runs",
            key=key,
            headers={} if idempotency_key is None else {"Idempotency-Key": idempotency_key},
            data=orjson.dumps({"input": PROMPT if values is None else values, **fields}),
        )

    async def run(self, run_id: str, *, key: str = KEY) -> Response:
        return await self.get(f"/v1/runs/{run_id}", key=key)

    async def finished(self, model: str = MODEL, values: Mapping[str, object] | None = None) -> Any:
        """Create a run, wait until it ends, and return it."""
        created = (await self.create(model, values)).json
        [run] = [run for run in self.sandbox.runs if run.id == created["id"]]
        # A little longer: the sum of the stages is rounded.
        await self.sandbox.clock.sleep(run.scenario.timeline.seconds + 0.001)
        return (await self.run(created["id"])).json


Serve: TypeAlias = Callable[[ScriptedSandbox], Awaitable[Client]]
