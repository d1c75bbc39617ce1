"""The syntax of model names, client_refs and run ids, so that none can leave the URL path or filter it is put into.

Pure; used for callers' arguments and for entries of the catalog.
"""

import re

MODEL_PATTERN = r"[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)+"
MAX_MODEL_LENGTH = 256
CLIENT_REF_PATTERN = r"[A-Za-z0-9._:/@+=-]{1,255}"
#: Upstream's run ids are UUIDs; any other id must be one path segment.
RUN_ID_PATTERN = r"[A-Za-z0-9_-][A-Za-z0-9._:-]{0,127}"

_MODEL = re.compile(MODEL_PATTERN)
_CLIENT_REF = re.compile(CLIENT_REF_PATTERN)
_RUN_ID = re.compile(RUN_ID_PATTERN)
_RUNS_ENDPOINT = re.compile(r"(?:https?://[^/?#]+)?/?v1/models/([^/].*?)(?:/runs)?/?", re.DOTALL | re.IGNORECASE)


def strip_runs_endpoint(model: str) -> str:
    """The model name in a ``runs_endpoint`` (a path or a whole URL); any other text unchanged."""
    match = _RUNS_ENDPOINT.fullmatch(model)
    return match[1] if match else model


def model_problem(model: str) -> str | None:
    """Why a text is not a model name; None when it is one."""
    if len(model) > MAX_MODEL_LENGTH:
        return f"must be at most {MAX_MODEL_LENGTH} characters"
    if not _MODEL.fullmatch(model):
        return "must be provider/slug as list_models gives it, of A-Z a-z 0-9 . _ - between slashes"
    if any(segment in (".", "..") for segment in model.split("/")):
        return "must not contain . or .. as a segment"
    return None


def client_ref_problem(client_ref: str) -> str | None:
    """Why a text is not a client_ref; None when it is one."""
    if _CLIENT_REF.fullmatch(client_ref):
        return None
    return "must be 1 to 255 characters of A-Z a-z 0-9 . _ : / @ + = -"


def run_id_problem(run_id: str) -> str | None:
    """Why a text is not a run id; None when it is one."""
    return None if _RUN_ID.fullmatch(run_id) else "must be a run id of at most 128 characters"
