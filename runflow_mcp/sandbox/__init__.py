"""A simulated Runflow: the upstream of the tests, of the benchmarks and of a first run without an account.

Speaks HTTP like the real one and keeps everything in memory; imports nothing of the package but its clock.
"""

from runflow_mcp.sandbox.api import Sandbox
from runflow_mcp.sandbox.faults import Answer, Delay, Fault, Faults, Hang, Reset, Route, Truncate
from runflow_mcp.sandbox.habits import Habits
from runflow_mcp.sandbox.idempotency import Idempotency
from runflow_mcp.sandbox.server import RunningSandbox, start

__all__ = [
    "Answer",
    "Delay",
    "Fault",
    "Faults",
    "Habits",
    "Hang",
    "Idempotency",
    "Reset",
    "Route",
    "RunningSandbox",
    "Sandbox",
    "Truncate",
    "start",
]
