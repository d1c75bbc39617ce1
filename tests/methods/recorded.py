"""The requests that the simulated Runflow has recorded, by their purpose."""

from runflow_mcp.sandbox import Sandbox
from runflow_mcp.sandbox.edge import SeenRequest

#: The documents that the server fetches by itself; every other request is made for a caller.
DOCUMENTS = frozenset({"/models-catalog.json", "/.well-known/agent-skills/runflow/SKILL.md"})


def asked(sandbox: Sandbox) -> list[SeenRequest]:
    return [request for request in sandbox.requests if request.path not in DOCUMENTS]


def dispatches(sandbox: Sandbox) -> list[SeenRequest]:
    return [request for request in sandbox.requests if request.method == "POST"]


def lookups(sandbox: Sandbox) -> list[SeenRequest]:
    return [request for request in sandbox.requests if request.path == "/v1/runs"]


def polls(sandbox: Sandbox) -> list[SeenRequest]:
    return [request for request in sandbox.requests if request.path.startswith("/v1/runs/")]
