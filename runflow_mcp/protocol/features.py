"""What a client of a revision knows of that one of an earlier revision does not.

Pure. Clients ignore members of an object that they do not know, but refuse the whole of a result for one member of
a union (a content block, say) that they do not: only those stand here.
"""

from collections.abc import Mapping
from enum import Enum, auto

from runflow_mcp.protocol.revisions import Revision


class Feature(Enum):
    """Something that older clients cannot read."""

    #: A content block that names a resource ("Resource Links" of the page on tools).
    RESOURCE_LINK = auto()


#: The first revision that has it.
SINCE: Mapping[Feature, Revision] = {Feature.RESOURCE_LINK: Revision.V2025_06_18}


def knows(revision: Revision, feature: Feature) -> bool:
    """Whether a client that speaks the revision can read the feature."""
    return revision >= SINCE[feature]
