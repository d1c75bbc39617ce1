"""How a model behaves when it is run: ordinary models, and the magic ones that misbehave on demand.

Pure. Magic models can be dispatched but are not listed, as test cards are in no wallet.
"""

import attrs

from runflow_mcp.sandbox import catalog
from runflow_mcp.sandbox.catalog import Model
from runflow_mcp.sandbox.course import Course, Ending
from runflow_mcp.sandbox.payload import JsonObject, digest
from runflow_mcp.sandbox.problems import Problem

#: Seconds of running at speed 1; with a second of queueing before it, a run takes four to six.
SHORTEST_RUN, LONGEST_RUN = 3.0, 5.0
#: Steps of a run, by what the model makes; a Solution is a workflow and has more of them than its model.
NODES = {"image": 3, "video": 7, "audio": 7}
SOLUTION_NODES = 5
UNAVAILABLE = "sandbox/unavailable"


@attrs.frozen(kw_only=True)
class Behaviour:
    """``inline``: media come as data: URIs. ``sparse``: the run object is null wherever it can be."""

    course: Course
    inline: bool = False
    sparse: bool = False


MAGIC: dict[str, Behaviour] = {
    "sandbox/slow": Behaviour(course=Course(nodes=7, running=20 * 60 - 1)),
    "sandbox/failing": Behaviour(course=Course(nodes=3, running=2, ending=Ending.FAILED)),
    "sandbox/cancelled": Behaviour(course=Course(nodes=3, running=2, ending=Ending.CANCELLED)),
    "sandbox/inline": Behaviour(course=Course(nodes=3, running=2), inline=True),
    "sandbox/odd": Behaviour(course=Course(nodes=3, running=3, running_status="warming_up"), sparse=True),
}


def find_model(name: str) -> Model:
    """The model of this name, listed or magic, or the ``Problem`` that there is none."""
    if name == UNAVAILABLE:
        raise Problem(503, "MODEL_UNAVAILABLE", f"Model {name} is temporarily unavailable")
    if name in MAGIC:
        return Model(name)
    try:
        return catalog.models()[name]
    except KeyError:
        raise Problem(404, "MODEL_NOT_FOUND", f"Model {name} not found") from None


def behaviour_of(model: Model, values: JsonObject) -> Behaviour:
    """How a run of ``model`` with these input values goes; the same values always go the same way."""
    if model.name in MAGIC:
        return MAGIC[model.name]
    nodes = SOLUTION_NODES if model.is_solution else NODES[model.medium]
    luck = digest(model.name, values)[0] / 255
    running = SHORTEST_RUN + luck * (LONGEST_RUN - SHORTEST_RUN)
    return Behaviour(course=Course(nodes=nodes, running=running), inline=values.get("sync_mode") is True)
