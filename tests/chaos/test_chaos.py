"""Clients, upstream errors, drains and kills in random order, and the invariants that hold throughout.

A bounded, fixed selection; ``make fuzz`` plays many new scenarios.
"""

import os

from hypothesis import HealthCheck, Phase, settings

from tests.chaos.state_machine import Chaos

SETTINGS = settings(
    max_examples=int(os.environ.get("CHAOS_EXAMPLES", "30")),
    stateful_step_count=25,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    report_multiple_bugs=False,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

TestChaos = Chaos.TestCase
TestChaos.settings = SETTINGS
