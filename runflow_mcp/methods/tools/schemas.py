"""The definitions of the two tools, as ``tools/list`` shows them. Data only; a snapshot test guards them.

The output schemas have no required members: one common client validates error envelopes against them too.
"""

from runflow_mcp.identifiers import CLIENT_REF_PATTERN, MAX_MODEL_LENGTH
from runflow_mcp.json_types import JSON
from runflow_mcp.methods.tools.arguments import DEFAULT_LIMIT, MAX_LIMIT, MIN_LIMIT
from runflow_mcp.runflow.catalog.entries import CATEGORIES


def _nullable(kind: str) -> dict[str, JSON]:
    return {"type": [kind, "null"]}


_ERROR: dict[str, JSON] = {
    "type": "object",
    "description": "Present instead of everything else when the call failed.",
    "properties": {
        "code": {"type": "string"},
        "message": {"type": "string"},
        "upstream_status": _nullable("integer"),
        "next_action": {"type": "string"},
        "details": {"type": "object"},
    },
}

GENERATE: dict[str, JSON] = {
    "name": "generate",
    "title": "Run a Runflow model or Solution",
    "description": (
        "Run a Runflow model or Solution and, by default, wait for the result, with progress. Costs money per run. "
        "Returns the output URLs, which expire. Safe to repeat with the same model and client_ref: the existing "
        "run is found and waited for, not billed again. Use it so after a time-out or a lost connection. "
        "For runs of many minutes (video) use wait=false."
    ),
    "inputSchema": {
        "type": "object",
        "properties": {
            "model": {
                "type": "string",
                "maxLength": MAX_MODEL_LENGTH,
                "description": (
                    "provider/slug as in list_models, such as runflow/object-removal/prompt. "
                    "A runs_endpoint is accepted too."
                ),
            },
            "input": {
                "type": "object",
                "additionalProperties": True,
                "description": "The model's own inputs, as its list_models entry names them. Media as public URLs.",
            },
            "wait": {
                "type": "boolean",
                "default": True,
                "description": "false: return the run_id at once instead of waiting for the result.",
            },
            "client_ref": {
                "type": "string",
                "pattern": f"^{CLIENT_REF_PATTERN}$",
                "description": (
                    "Your own name for this run. Reuse the same value when you retry or go on waiting: it "
                    "returns to the same run. A new value starts and bills a new run."
                ),
            },
        },
        "required": ["model", "input"],
        "additionalProperties": False,
    },
    "outputSchema": {
        "type": "object",
        "properties": {
            "run_id": {"type": "string"},
            "status": {"type": "string"},
            "model": {"type": "string"},
            "client_ref": {"type": "string"},
            "outputs": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"url": {"type": "string"}, "mime_type": {"type": "string"}},
                    "required": ["url"],
                },
            },
            "output": {"description": "The model's output as Runflow returned it."},
            "cost": _nullable("string"),
            "duration_ms": _nullable("number"),
            "created_at": _nullable("string"),
            "completed_at": _nullable("string"),
            "poll_url": {"type": "string"},
            "input_ignored": {"type": "boolean"},
            "note": {"type": "string"},
            "error": _ERROR,
        },
    },
    "annotations": {
        "title": "Run a Runflow model or Solution",
        "readOnlyHint": False,
        "destructiveHint": False,
        "idempotentHint": False,
        "openWorldHint": True,
    },
}

LIST_MODELS: dict[str, JSON] = {
    "name": "list_models",
    "title": "Browse Runflow models and Solutions",
    "description": (
        "Find what generate can run: Solutions (ready-made workflows; look there first) and models, each with "
        "its inputs and price. Without filters it lists everything, Solutions first."
    ),
    "inputSchema": {
        "type": "object",
        "properties": {
            "category": {
                "type": "string",
                "enum": list(CATEGORIES),
                "description": "What it makes from what; solution: the ready-made workflows.",
            },
            "provider": {
                "type": "string",
                "description": "Provider slug, such as runflow, google or openai.",
            },
            "query": {
                "type": "string",
                "description": "Part of the model's name or slug, in any case; exact hits come first.",
            },
            "limit": {
                "type": "integer",
                "minimum": MIN_LIMIT,
                "maximum": MAX_LIMIT,
                "default": DEFAULT_LIMIT,
            },
        },
        "additionalProperties": False,
    },
    "outputSchema": {
        "type": "object",
        "properties": {
            "models": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "model": {"type": "string", "description": "What to give generate as model."},
                        "model_name": {"type": "string"},
                        "provider_slug": {"type": "string"},
                        "model_slug": {"type": "string"},
                        "category": {"type": "string"},
                        "runs_endpoint": {"type": "string"},
                        "description": {"type": "string"},
                        "pricing": {},
                        "inputs": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "properties": {
                                    "name": {"type": "string"},
                                    "type": {"type": "string"},
                                    "required": {"type": "boolean"},
                                    "enum": {"type": "array"},
                                    "description": {"type": "string"},
                                },
                            },
                        },
                    },
                },
            },
            "returned": {"type": "integer"},
            "total": {"type": "integer"},
            "stale_seconds": {
                "type": "integer",
                "description": "Set when the catalog could not be refreshed.",
            },
            "error": _ERROR,
        },
    },
    "annotations": {
        "title": "Browse Runflow models and Solutions",
        "readOnlyHint": True,
        "destructiveHint": False,
        "idempotentHint": True,
        "openWorldHint": True,
    },
}
