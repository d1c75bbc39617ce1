"""What a call asks to run (``Order``), what it gets (``Dispatched``), and how it names its run (``RunRef``). Pure."""

import hashlib
import secrets
from collections.abc import Mapping

import attrs
import orjson

from runflow_mcp.credentials import Bearer
from runflow_mcp.json_types import JSONObject
from runflow_mcp.runflow.assets.named_files import NO_FILES, NamedFiles
from runflow_mcp.runflow.dispatch.inputs import RunInput
from runflow_mcp.runflow.reading.trimming import MAX_NAME
from runflow_mcp.runflow.runs.run import Run


@attrs.frozen
class RunRef:
    """How one call names its run in results and errors. ``model``, ``client_ref``: None where they are not known.

    ``input_urls``: URLs in the call's input, which are not outputs where the run repeats them. ``input_ignored``: the
    run was made from another input than the call's; only the dispatcher decides that.
    """

    model: str | None
    client_ref: str | None
    input_urls: tuple[str, ...] = attrs.field(default=(), repr=False)
    input_ignored: bool = False

    @classmethod
    def of_run(cls, run: Run) -> "RunRef":
        """For a call that gave only the run's id: the names that upstream has stored."""
        return cls((run.model or "")[:MAX_NAME] or None, (run.client_ref or "")[:MAX_NAME] or None)


@attrs.frozen
class Dispatched:
    """The result of a dispatch for one call: a run that exists upstream, and the call's ref of it.

    ``found``: it existed before. ``read``: it has been read by its id; until then only its id is known, and ``ref``
    is provisional: see ``JoinedDispatch.identify``.
    """

    run: Run
    ref: RunRef
    found: bool
    read: bool


@attrs.frozen
class Order:
    """What to run, for whom. ``caller_chose_ref``: the client_ref is the caller's own, so its run may exist already.

    ``body``: the request body, the only copy of the input. ``input_digest``, ``input_urls``: of the input in it.
    ``files``: those that the input names. With local files no run is started; uploads are confirmed first.
    """

    bearer: Bearer
    model: str
    body: bytes = attrs.field(repr=False)
    input_digest: str
    client_ref: str
    caller_chose_ref: bool
    trace: Mapping[str, str]
    input_urls: tuple[str, ...] = attrs.field(default=(), repr=False)
    files: NamedFiles = attrs.field(default=NO_FILES, repr=False)

    @classmethod
    def make(
        cls,
        bearer: Bearer,
        model: str,
        run_input: RunInput,
        client_ref: str | None,
        trace: Mapping[str, str],
        *,
        files: NamedFiles = NO_FILES,
    ) -> "Order":
        """An order under the caller's client_ref, or a minted one: every run can be found again."""
        ref = client_ref or f"mcp-{secrets.token_hex(16)}"
        metadata = {"mcp_model": model, "mcp_input_sha256": run_input.digest}
        body = orjson.dumps({"input": orjson.Fragment(run_input.json), "client_ref": ref, "metadata": metadata})
        # A copy: the bytes that orjson returns keep its whole output buffer, up to 70 times their length.
        body = bytes(memoryview(body))
        return cls(bearer, model, body, run_input.digest, ref, client_ref is not None, trace, run_input.urls, files)

    @property
    def idempotency_key(self) -> str:
        """The Idempotency-Key: one for each caller, model and client_ref."""
        text = f"{self.bearer.digest}\n{self.model}\n{self.client_ref}"
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def run_ref(self) -> RunRef:
        """How the call names its run until the dispatcher has found or made it."""
        return RunRef(self.model, self.client_ref, self.input_urls)

    def input(self) -> JSONObject:
        """The input, parsed anew."""
        run_input: JSONObject = orjson.loads(self.body)["input"]
        return run_input
