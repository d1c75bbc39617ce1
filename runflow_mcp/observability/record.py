"""What became known about one JSON-RPC call: filled in by whoever learns it, read once, by its access line. Pure."""

import attrs


@attrs.define
class CallRecord:
    """One call, or one entry of a batch. A member is None until it is known, or where it does not apply."""

    method: str | None = None
    revision: str | None = None
    tool: str | None = None
    prompt: str | None = None
    model: str | None = None
    run_id: str | None = None
    client_ref: str | None = None
    #: A tool error's code, ``jsonrpc_<code>``, or a rejection's code; None for a call that succeeded.
    error_code: str | None = None
