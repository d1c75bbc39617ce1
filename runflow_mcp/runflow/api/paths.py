"""The paths of Runflow's API that are called. Pure."""

LIST_PATH = "/v1/runs"


def runs_path(model: str) -> str:
    """Where runs of a model are created; ``model`` has been checked to stay inside."""
    return f"/v1/models/{model}/runs"


def run_path(run_id: str) -> str:
    """Where a run is read; ``run_id`` has been checked to stay inside."""
    return f"/v1/runs/{run_id}"
