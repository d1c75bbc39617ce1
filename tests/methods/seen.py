"""What the simulated Runflow saw, sorted by what the proxy wanted."""

from tests.scripted_sandbox import RecordedRequest, ScriptedSandbox

#: The documents that the server fetches by itself; everything else a caller made it ask.
DOCUMENTS = frozenset({"/models-catalog.json", "/.well-known/agent-skills/runflow/SKILL.md"})


def asked(sandbox: ScriptedSandbox) -> list[RecordedRequest]:
    return [one for one in sandbox.requests if one.path not in DOCUMENTS]


def dispatches(sandbox: ScriptedSandbox) -> list[RecordedRequest]:
    return [one for one in sandbox.requests if one.method == "POST"]


def lookups(sandbox: ScriptedSandbox) -> list[RecordedRequest]:
    return [one for one in sandbox.requests if one.path == "/v1/runs"]


def polls(sandbox: ScriptedSandbox) -> list[RecordedRequest]:
    return [one for one in sandbox.requests if one.path.startswith("/v1/runs/")]
