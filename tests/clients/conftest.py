"""The clients run on the machine's clock, so the sandbox in front of them is a fast one."""

import pytest

from runflow_mcp.sandbox import Sandbox
from tests.virtual_time import VirtualClock


@pytest.fixture
def sandbox(clock: VirtualClock) -> Sandbox:
    return Sandbox(clock=clock, speed=20)
