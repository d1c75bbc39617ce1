"""A simulated Runflow: the upstream of ``serve --sandbox``, the tests and the benchmarks.

Speaks Runflow's HTTP API and keeps everything in memory. Imports nothing of the package but its clock.
"""

from runflow_mcp.sandbox.api import Sandbox
from runflow_mcp.sandbox.server import RunningSandbox, start

__all__ = ["RunningSandbox", "Sandbox", "start"]
