"""The upstream of the tests: a sandbox that records requests, fails by a script, and may have quirks."""

from tests.scripted_sandbox.quirks import Idempotency, Quirks
from tests.scripted_sandbox.recording import RecordedRequest
from tests.scripted_sandbox.sandbox import ScriptedSandbox
from tests.scripted_sandbox.script import Action, Delay, Hang, Reset, Respond, Route, Script, Truncate

__all__ = [
    "Action",
    "Delay",
    "Hang",
    "Idempotency",
    "Quirks",
    "RecordedRequest",
    "Reset",
    "Respond",
    "Route",
    "Script",
    "ScriptedSandbox",
    "Truncate",
]
