"""Helpers that make the sandbox publish a test's own catalog."""

from typing import Any

import orjson

from tests.scripted_sandbox import Respond, Route, ScriptedSandbox


def entry(name: str, **more: Any) -> dict[str, Any]:
    provider, _, slug = name.partition("/")
    return {"provider_slug": provider, "model_slug": slug, "model_name": slug, "category": "text-to-image", **more}


def script(sandbox: ScriptedSandbox, *entries: object) -> None:
    """Let the sandbox publish these entries; to be called before the server starts."""
    body = orjson.dumps({"models": entries})
    sandbox.script.add(Route.CATALOG, Respond(200, body, {"Content-Type": "application/json"}), times=None)
