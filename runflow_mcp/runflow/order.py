"""What is to be run, for whom, and what identifies it upstream. Pure."""

import hashlib
import secrets
from collections.abc import Mapping

import attrs
import orjson

from runflow_mcp.credentials import Bearer
from runflow_mcp.jsontypes import JSONObject
from runflow_mcp.runflow.inputs import input_digest


@attrs.frozen
class Order:
    """What to run, for whom. ``own_ref``: the caller chose the client_ref, so the run may exist."""

    bearer: Bearer
    model: str
    input: JSONObject
    client_ref: str
    own_ref: bool
    trace: Mapping[str, str]

    @classmethod
    def make(
        cls,
        bearer: Bearer,
        model: str,
        run_input: JSONObject,
        client_ref: str | None,
        trace: Mapping[str, str],
    ) -> "Order":
        """An order under the caller's client_ref, or a minted one: every run can be found again."""
        ref = client_ref or f"mcp-{secrets.token_hex(16)}"
        return cls(bearer, model, run_input, ref, client_ref is not None, trace)

    @property
    def key(self) -> str:
        """The Idempotency-Key: one for each caller, model and client_ref."""
        text = f"{self.bearer.digest}\n{self.model}\n{self.client_ref}"
        return hashlib.sha256(text.encode()).hexdigest()

    def body(self) -> bytes:
        metadata = {"mcp_model": self.model, "mcp_input_sha256": input_digest(self.input)}
        return orjson.dumps({"input": self.input, "client_ref": self.client_ref, "metadata": metadata})
