"""The catalog entry that tests change a member of, and the reader that they pass it through."""

import orjson

from runflow_mcp.runflow.catalog.entries import Model, Snapshot, parse_catalog

ENTRY = {
    "provider_slug": "google",
    "model_slug": "nano-banana-2",
    "model_name": "Nano Banana 2",
    "category": "text-to-image",
}


def read(*entries: object) -> Snapshot:
    """The snapshot of a catalog with these entries."""
    return parse_catalog(orjson.dumps(entries))


def model(**fields: object) -> Model:
    """The model of the entry with these members changed."""
    [found] = read(ENTRY | fields).models
    return found
