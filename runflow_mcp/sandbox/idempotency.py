"""When a repeated dispatch is the same dispatch: the three rules an upstream may follow.

Pure; the ledger remembers which mark belongs to which run.
"""

from enum import Enum
from typing import TypeAlias

from runflow_mcp.sandbox.orders import Order

#: Two dispatches with equal marks are one; None is equal to nothing.
Mark: TypeAlias = tuple[str, ...] | None


class Idempotency(Enum):
    """HEADER: ``Idempotency-Key``, with a conflict for another body. CLIENT_REF: the field, per model."""

    HEADER = "header"
    CLIENT_REF = "client_ref"
    NONE = "none"


def mark(rule: Idempotency, owner: str, order: Order, header: str | None) -> Mark:
    if rule is Idempotency.HEADER and header is not None:
        return owner, header
    if rule is Idempotency.CLIENT_REF and order.client_ref is not None:
        return owner, order.model.name, order.client_ref
    return None
