"""The paths of Runflow's API that the proxy calls. Pure."""

LIST_PATH = "/v1/runs"
UPLOADS_PATH = "/v1/asset-uploads"
BALANCE_PATH = "/v1/billing/balance"


def runs_path(model: str) -> str:
    """Where runs of a model are created. ``model``: checked, so that it cannot change the path around it."""
    return f"/v1/models/{model}/runs"


def run_path(run_id: str) -> str:
    """Where a run is read. ``run_id``: checked, so that it cannot change the path around it."""
    return f"/v1/runs/{run_id}"


def confirmation_path(asset_id: str) -> str:
    """Where an upload is confirmed. ``asset_id``: checked, so that it cannot change the path around it."""
    return f"{UPLOADS_PATH}/{asset_id}/confirmations"
