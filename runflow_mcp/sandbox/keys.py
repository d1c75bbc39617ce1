"""Which organisation a bearer stands for, and the keys that make a refusal happen on demand.

Pure; the key itself is never kept, only its fingerprint leaves this module.
"""

from collections.abc import Callable
from functools import partial
from hashlib import sha256

import attrs

from runflow_mcp.sandbox.problems import Problem

LIVE_PREFIX = "rf_live_"
SERVICE_PREFIX = "rf_svc_"
REVOKED_KEY = "rf_live_sandbox_revoked"

_forbidden = partial(Problem, 403, "PERMISSION_DENIED", "This key may not create runs")

#: What a dispatch with these keys is refused with; reading is open to them.
DISPATCH_REFUSALS: dict[str, Callable[[], Problem]] = {
    "rf_live_sandbox_no_credit": partial(
        Problem,
        402,
        "INSUFFICIENT_CREDIT",
        "Insufficient credit",
        errors=[{"type": "insufficient_credits", "message": "Balance is $0.00"}],
    ),
    "rf_live_sandbox_throttled": partial(
        Problem, 429, "RATE_LIMITED", "Too many requests", headers={"Retry-After": "1"}
    ),
    "rf_live_sandbox_forbidden": _forbidden,
    "rf_live_sandbox_unverified": partial(
        Problem, 403, "EMAIL_NOT_VERIFIED", "Verify your email address to create runs"
    ),
}


@attrs.frozen
class Caller:
    """Who asks. Every key is an organisation of its own, named by the key's fingerprint."""

    organisation: str
    _refusal: Callable[[], Problem] | None = None

    def check_dispatch(self) -> None:
        if self._refusal is not None:
            raise self._refusal()


def bearer(authorization: str | None) -> str | None:
    """The key in an ``Authorization`` header, if that is what the header holds."""
    scheme, _, key = (authorization or "").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


def fingerprint(key: str) -> str:
    return sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def authenticate(authorization: str | None) -> Caller:
    key = bearer(authorization)
    if key is None:
        raise Problem(401, "UNAUTHORIZED", "Missing bearer token")
    if key.startswith(SERVICE_PREFIX):
        return Caller(fingerprint(key), _forbidden)
    if key == REVOKED_KEY or not key.removeprefix(LIVE_PREFIX) or not key.startswith(LIVE_PREFIX):
        raise Problem(401, "UNAUTHORIZED", "Invalid or revoked API key")
    return Caller(fingerprint(key), DISPATCH_REFUSALS.get(key))
