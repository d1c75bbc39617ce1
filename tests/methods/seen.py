"""What the simulated Runflow saw, sorted by what the proxy wanted."""

from runflow_mcp.sandbox import Sandbox
from runflow_mcp.sandbox.edge import SeenRequest

#: The documents that the server fetches by itself; everything else a caller made it ask.
DOCUMENTS = frozenset({"/models-catalog.json", "/.well-known/agent-skills/runflow/SKILL.md"})


def asked(sandbox: Sandbox) -> list[SeenRequest]:
    return [one for one in sandbox.requests if one.path not in DOCUMENTS]


def dispatches(sandbox: Sandbox) -> list[SeenRequest]:
    return [one for one in sandbox.requests if one.method == "POST"]


def lookups(sandbox: Sandbox) -> list[SeenRequest]:
    return [one for one in sandbox.requests if one.path == "/v1/runs"]


def polls(sandbox: Sandbox) -> list[SeenRequest]:
    return [one for one in sandbox.requests if one.path.startswith("/v1/runs/")]
