"""What happens in a run of each model: ordinary models succeed, magic ones misbehave on demand.

Pure. Magic models can be dispatched, but the catalog does not list them.
"""

import attrs

from runflow_mcp.sandbox import catalog
from runflow_mcp.sandbox.catalog import CatalogModel
from runflow_mcp.sandbox.errors import APIError
from runflow_mcp.sandbox.json_types import JSONObject, digest
from runflow_mcp.sandbox.timeline import FinalStatus, Timeline

#: Seconds of running at speed 1; with one second before it, a run takes four to six.
MIN_RUNNING, MAX_RUNNING = 3.0, 5.0
#: Steps of a run by output medium; a Solution is a workflow of several models.
NODES = {"image": 3, "video": 7, "audio": 7}
SOLUTION_NODES = 5
#: Every dispatch of this model fails with 503.
UNAVAILABLE_MODEL = "sandbox/unavailable"


@attrs.frozen(kw_only=True)
class Scenario:
    """How a run goes.

    ``inline``: media are returned as data: URIs. ``sparse``: the run object has null in every optional field.
    """

    timeline: Timeline
    inline: bool = False
    sparse: bool = False


MAGIC_MODELS: dict[str, Scenario] = {
    "sandbox/slow": Scenario(timeline=Timeline(nodes=7, running=20 * 60 - 1)),
    "sandbox/failing": Scenario(timeline=Timeline(nodes=3, running=2, final_status=FinalStatus.FAILED)),
    "sandbox/cancelled": Scenario(timeline=Timeline(nodes=3, running=2, final_status=FinalStatus.CANCELLED)),
    "sandbox/inline": Scenario(timeline=Timeline(nodes=3, running=2), inline=True),
    "sandbox/odd": Scenario(timeline=Timeline(nodes=3, running=3, running_status="warming_up"), sparse=True),
}


def find_model(name: str) -> CatalogModel:
    """The listed or magic model of this name; raises the ``APIError`` for an unknown or unavailable one."""
    if name == UNAVAILABLE_MODEL:
        raise APIError(503, "MODEL_UNAVAILABLE", f"Model {name} is temporarily unavailable")
    if name in MAGIC_MODELS:
        return CatalogModel(name)
    try:
        return catalog.models()[name]
    except KeyError:
        raise APIError(404, "MODEL_NOT_FOUND", f"Model {name} not found") from None


def scenario_for(model: CatalogModel, values: JSONObject) -> Scenario:
    """The scenario of a run of ``model`` with these input values; always the same for the same values."""
    if model.name in MAGIC_MODELS:
        return MAGIC_MODELS[model.name]
    nodes = SOLUTION_NODES if model.is_solution else NODES[model.medium]
    share = digest(model.name, values)[0] / 255
    running = MIN_RUNNING + share * (MAX_RUNNING - MIN_RUNNING)
    return Scenario(timeline=Timeline(nodes=nodes, running=running), inline=values.get("sync_mode") is True)
