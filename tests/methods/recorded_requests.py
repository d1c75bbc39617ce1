"""The requests that the simulated Runflow has recorded, by their purpose."""

from tests.scripted_sandbox import RecordedRequest, ScriptedSandbox

#: The documents that the server fetches by itself; every other request is made for a caller.
DOCUMENTS = frozenset({"/models-catalog.json", "/.well-known/agent-skills/runflow/SKILL.md"})


def caller_requests(sandbox: ScriptedSandbox) -> list[RecordedRequest]:
    return [request for request in sandbox.requests if request.path not in DOCUMENTS]


def dispatches(sandbox: ScriptedSandbox) -> list[RecordedRequest]:
    return [request for request in sandbox.requests if request.path.startswith("/v1/models/")]


def uploads(sandbox: ScriptedSandbox) -> list[RecordedRequest]:
    """The uploads that were asked for."""
    return [request for request in sandbox.requests if request.path == "/v1/asset-uploads"]


def confirmations(sandbox: ScriptedSandbox) -> list[RecordedRequest]:
    return [request for request in sandbox.requests if request.path.endswith("/confirmations")]


def lookups(sandbox: ScriptedSandbox) -> list[RecordedRequest]:
    return [request for request in sandbox.requests if request.path == "/v1/runs"]


def polls(sandbox: ScriptedSandbox) -> list[RecordedRequest]:
    return [request for request in sandbox.requests if request.path.startswith("/v1/runs/")]
