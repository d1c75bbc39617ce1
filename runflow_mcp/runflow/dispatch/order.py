"""What is to be run, for whom, and what identifies it upstream. Pure."""

import hashlib
import secrets
from collections.abc import Mapping

import attrs
import orjson

from runflow_mcp.credentials import Bearer
from runflow_mcp.json_types import JSONObject
from runflow_mcp.runflow.dispatch.inputs import RunInput


@attrs.frozen
class Order:
    """What to run, for whom. ``caller_chose_ref``: the caller chose the client_ref, so the run may exist.

    ``body``: the request's, the only copy of the input. ``input_digest``: of the input in it.
    """

    bearer: Bearer
    model: str
    body: bytes = attrs.field(repr=False)
    input_digest: str
    client_ref: str
    caller_chose_ref: bool
    trace: Mapping[str, str]

    @classmethod
    def make(
        cls,
        bearer: Bearer,
        model: str,
        run_input: RunInput,
        client_ref: str | None,
        trace: Mapping[str, str],
    ) -> "Order":
        """An order under the caller's client_ref, or a minted one: every run can be found again."""
        ref = client_ref or f"mcp-{secrets.token_hex(16)}"
        metadata = {"mcp_model": model, "mcp_input_sha256": run_input.digest}
        body = orjson.dumps({"input": orjson.Fragment(run_input.json), "client_ref": ref, "metadata": metadata})
        # A copy, since the bytes that orjson returns keep the room that it wrote in: up to 70 times their length.
        body = bytes(memoryview(body))
        return cls(bearer, model, body, run_input.digest, ref, client_ref is not None, trace)

    @property
    def key(self) -> str:
        """The Idempotency-Key: one for each caller, model and client_ref."""
        text = f"{self.bearer.digest}\n{self.model}\n{self.client_ref}"
        return hashlib.sha256(text.encode()).hexdigest()

    def input(self) -> JSONObject:
        """The input, parsed anew."""
        run_input: JSONObject = orjson.loads(self.body)["input"]
        return run_input
