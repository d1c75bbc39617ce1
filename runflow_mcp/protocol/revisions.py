"""The protocol revisions that this server supports, and everything that differs between them: one row per revision.

Pure. A new revision is a member of ``Revision`` and a row of ``FEATURES``; code that behaves differently reads a
feature, never the name of a revision. Sources: the specification's pages on versioning, lifecycle and transports.
"""

from collections.abc import Mapping
from enum import Enum, StrEnum, auto

import attrs

from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.protocol.jsonrpc import ErrorCode, ProtocolError
from runflow_mcp.protocol.meta import SKILLS, TASKS


class Revision(StrEnum):
    """The supported revisions, oldest first."""

    V2025_03_26 = "2025-03-26"
    V2025_06_18 = "2025-06-18"
    V2025_11_25 = "2025-11-25"
    V2026_07_28 = "2026-07-28"


class Era(Enum):
    """How client and server agree on a revision."""

    #: Once, in an ``initialize`` handshake; later requests name the revision in a header.
    LEGACY = auto()
    #: On every request, in ``_meta`` and a header; there is no handshake.
    MODERN = auto()


@attrs.frozen
class Features:
    """What distinguishes one revision from another."""

    era: Era
    #: The body of a POST may be an array of messages.
    batching: bool = False
    #: Clients accept content blocks of type ``resource_link``. Clients ignore unknown members of an object, but
    #: reject a whole result for one unknown content block.
    resource_links: bool = True
    #: Results have a ``resultType``.
    result_type: bool = False
    #: Results name the server in ``_meta``.
    server_info: bool = False
    #: Lists have ``ttlMs`` and ``cacheScope``.
    cache_hints: bool = False
    #: The extensions that this server supports. Their names, in the order in which capabilities list them.
    extensions: tuple[str, ...] = (SKILLS,)
    #: The HTTP status of a METHOD_NOT_FOUND error.
    unknown_method_status: int = 200
    #: The code for a resource that does not exist.
    resource_not_found: ErrorCode = ErrorCode.RESOURCE_NOT_FOUND


#: revision → features
FEATURES: Mapping[Revision, Features] = {
    Revision.V2025_03_26: Features(Era.LEGACY, batching=True, resource_links=False),
    Revision.V2025_06_18: Features(Era.LEGACY),
    Revision.V2025_11_25: Features(Era.LEGACY),
    Revision.V2026_07_28: Features(
        Era.MODERN,
        result_type=True,
        server_info=True,
        cache_hints=True,
        extensions=(TASKS, SKILLS),
        unknown_method_status=404,
        resource_not_found=ErrorCode.INVALID_PARAMS,
    ),
}

SUPPORTED: tuple[str, ...] = tuple(revision.value for revision in Revision)
#: What ``initialize`` can agree on, oldest first.
LEGACY_REVISIONS = tuple(revision for revision in Revision if FEATURES[revision].era is Era.LEGACY)
MODERN_REVISIONS = tuple(revision for revision in Revision if FEATURES[revision].era is Era.MODERN)
#: What ``initialize`` answers to a client that asks for anything else.
LATEST_LEGACY = LEGACY_REVISIONS[-1]
#: The revision of a request without the version header (transports, "Protocol Version Header").
DEFAULT_REVISION = Revision.V2025_03_26


@attrs.frozen
class ProtocolContext:
    """The revision that a request uses, and the capabilities that its client declared on it (modern era only)."""

    revision: Revision
    capabilities: JSONObject = attrs.field(factory=dict)

    @property
    def features(self) -> Features:
        return FEATURES[self.revision]

    @property
    def era(self) -> Era:
        return self.features.era

    def declares(self, extension: str) -> bool:
        """Whether the client declared an extension on this request."""
        extensions = self.capabilities.get("extensions")
        return isinstance(extensions, dict) and isinstance(extensions.get(extension), dict)


def negotiate(requested: JSON) -> Revision:
    """The revision that ``initialize`` answers: the requested one if it is legacy, else the latest legacy one."""
    return Revision(requested) if isinstance(requested, str) and requested in LEGACY_REVISIONS else LATEST_LEGACY


def require_extension(protocol: ProtocolContext, extension: str) -> None:
    """Raise ``ProtocolError`` -32021 unless the client declared the extension on this request."""
    if not protocol.declares(extension):
        raise ProtocolError(
            ErrorCode.MISSING_REQUIRED_CLIENT_CAPABILITY,
            f"Declare the extension {extension} in this request's client capabilities.",
            {"requiredCapabilities": {"extensions": {extension: {}}}},
        )
