"""A client that records when each piece of an answer arrives: what a proxy with an idle time-out sees."""

from typing import Any

import attrs
import orjson

from tests.serving import INPUT, KEY, Answer, Server


@attrs.frozen
class TimedAnswer:
    """``head`` and the times of ``pieces`` are seconds after the request was sent."""

    head: float
    pieces: list[tuple[float, bytes]]
    answer: Answer

    def times(self, piece: bytes) -> list[float]:
        """When exactly this piece arrived."""
        return [at for at, data in self.pieces if data == piece]


async def timed_generate(
    server: Server, *, accept: str | None, model: str, token: str | int | None = None, **arguments: Any
) -> TimedAnswer:
    """Call ``generate`` and read its answer as it comes."""
    clock = server.services.clock
    params: dict[str, Any] = {"name": "generate", "arguments": {"model": model, "input": INPUT, **arguments}}
    if token is not None:
        params["_meta"] = {"progressToken": token}
    body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    if accept is not None:
        headers["Accept"] = accept
    sent = clock.monotonic()
    async with server.session.post(server.url, data=body, headers=headers) as response:
        head = clock.monotonic() - sent
        pieces = [(clock.monotonic() - sent, data) async for data in response.content.iter_any()]
        content = b"".join(data for _, data in pieces)
        return TimedAnswer(head, pieces, Answer(response.status, response.headers.copy(), content))
