"""An error of the simulated API in Runflow's flat envelope: ``{"code", "message", "errors"}``.

Pure: ``responses`` turns it into an HTTP response.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

import orjson

ErrorDetails: TypeAlias = Sequence[Mapping[str, object]]


class APIError(Exception):
    """Raised anywhere in the sandbox, answered as JSON with ``status`` and ``headers``."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        errors: ErrorDetails | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.errors = errors
        self.headers = headers

    def body(self) -> bytes:
        return orjson.dumps({"code": self.code, "message": self.message, "errors": self.errors})


def bad_request(message: str) -> APIError:
    return APIError(400, "BAD_REQUEST", message)


def validation_failed(errors: ErrorDetails) -> APIError:
    return APIError(422, "VALIDATION_ERROR", "Request validation failed", errors=errors)


def run_not_found() -> APIError:
    return APIError(404, "RUN_NOT_FOUND", "Run not found")


def idempotency_conflict() -> APIError:
    return APIError(409, "CONFLICT", "Idempotency-Key was used with another request body")
