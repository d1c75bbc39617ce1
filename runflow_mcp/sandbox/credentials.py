"""Which organisation an API key belongs to, and the magic keys with which every dispatch fails.

Pure. Keys are not stored: only a fingerprint of the key leaves this module.
"""

from collections.abc import Callable
from functools import partial
from hashlib import sha256

import attrs

from runflow_mcp.sandbox.errors import APIError

LIVE_PREFIX = "rf_live_"
SERVICE_PREFIX = "rf_svc_"
REVOKED_KEY = "rf_live_sandbox_revoked"

NO_CREDIT_KEY = "rf_live_sandbox_no_credit"
#: A key that can read, but start no runs and upload nothing.
READONLY_KEY = "rf_live_sandbox_readonly"

_forbidden = partial(APIError, 403, "PERMISSION_DENIED", "This key may not create runs")

#: Key → the error of every dispatch with it; reading works with these keys.
DISPATCH_ERRORS: dict[str, Callable[[], APIError]] = {
    NO_CREDIT_KEY: partial(
        APIError,
        402,
        "INSUFFICIENT_CREDIT",
        "Insufficient credit",
        errors=[{"type": "insufficient_credits", "message": "Balance is $0.00"}],
    ),
    "rf_live_sandbox_throttled": partial(
        APIError, 429, "RATE_LIMITED", "Too many requests", headers={"Retry-After": "1"}
    ),
    "rf_live_sandbox_forbidden": _forbidden,
    READONLY_KEY: _forbidden,
    "rf_live_sandbox_unverified": partial(
        APIError, 403, "EMAIL_NOT_VERIFIED", "Verify your email address to create runs"
    ),
}


@attrs.frozen
class Caller:
    """An authenticated caller. Every key is its own organisation, named by the key's fingerprint."""

    organisation: str
    #: US dollars, as a decimal string.
    balance: str = "25.00"
    _may_upload: bool = True
    _dispatch_error: Callable[[], APIError] | None = None

    def check_may_dispatch(self) -> None:
        """Raise the ``APIError`` of a key that may not create runs."""
        if self._dispatch_error is not None:
            raise self._dispatch_error()

    def check_may_upload(self) -> None:
        """Raise the ``APIError`` of a key that may not create assets."""
        if not self._may_upload:
            raise APIError(403, "PERMISSION_DENIED", "This key may not create assets (scope assets:create)")


def bearer_key(authorization: str | None) -> str | None:
    """The key in an ``Authorization`` header; None without a bearer."""
    scheme, _, key = (authorization or "").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


def fingerprint(key: str) -> str:
    return sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def authenticate(authorization: str | None) -> Caller:
    """The caller with this ``Authorization`` header; raises a 401 ``APIError`` for a missing or invalid key."""
    key = bearer_key(authorization)
    if key is None:
        raise APIError(401, "UNAUTHORIZED", "Missing bearer token")
    if key.startswith(SERVICE_PREFIX):
        return Caller(fingerprint(key), may_upload=False, dispatch_error=_forbidden)
    if key == REVOKED_KEY or not key.removeprefix(LIVE_PREFIX) or not key.startswith(LIVE_PREFIX):
        raise APIError(401, "UNAUTHORIZED", "Invalid or revoked API key")
    balance = "0.00" if key == NO_CREDIT_KEY else "25.00"
    return Caller(fingerprint(key), balance, key != READONLY_KEY, DISPATCH_ERRORS.get(key))
