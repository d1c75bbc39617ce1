"""The protocol revisions: which one a request speaks, and what differs between them.

Pure. ``classify`` is the single place that decides; a further era is a further classification here, not a
second server. Sources: the specification's lifecycle, transports and versioning pages of each revision.
"""

from enum import StrEnum

from runflow_mcp.jsontypes import JSON
from runflow_mcp.protocol.jsonrpc import Code, ProtocolError


class Revision(StrEnum):
    """The revisions this server speaks."""

    V2025_03_26 = "2025-03-26"
    V2025_06_18 = "2025-06-18"
    V2025_11_25 = "2025-11-25"


#: What ``initialize`` can agree on, oldest first.
NEGOTIABLE = (Revision.V2025_03_26, Revision.V2025_06_18, Revision.V2025_11_25)
LATEST = NEGOTIABLE[-1]
#: A request without the version header speaks this one (transports, "Protocol Version Header").
ASSUMED = Revision.V2025_03_26
#: The only revision whose POST body may be an array.
BATCHING = frozenset({Revision.V2025_03_26})


def negotiate(requested: JSON) -> Revision:
    """The revision that ``initialize`` answers: the one asked for, else our latest. Never an error."""
    return Revision(requested) if requested in set(NEGOTIABLE) else LATEST


def classify(header: str | None, method: str | None = None) -> Revision:
    """The revision of one POST, from its MCP-Protocol-Version header.

    ``initialize`` names its revision in the body, so its header is not judged.
    Raises ``ProtocolError`` (answered at HTTP 400) for a revision that is not spoken here.
    """
    if header is None or method == "initialize":
        return ASSUMED
    value = header.strip()
    if value in set(NEGOTIABLE):
        return Revision(value)
    spoken = ", ".join(NEGOTIABLE)
    raise ProtocolError(
        Code.INVALID_REQUEST,
        f"This server does not speak the MCP-Protocol-Version of this request. It speaks {spoken}; "
        "start with initialize.",
        {"supported": list(NEGOTIABLE)},
    )
