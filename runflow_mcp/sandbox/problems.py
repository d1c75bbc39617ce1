"""A refusal in Runflow's flat envelope: ``{"code", "message", "errors"}``.

Pure: ``edge`` turns it into an HTTP answer.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

import orjson

from runflow_mcp.sandbox.payload import JsonObject

Details: TypeAlias = list[JsonObject]


class Problem(Exception):
    """Raised anywhere behind the edge, answered as JSON."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        errors: Details | None = None,
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


def bad_request(message: str) -> Problem:
    return Problem(400, "BAD_REQUEST", message)


def invalid(errors: Details) -> Problem:
    return Problem(422, "VALIDATION_ERROR", "Request validation failed", errors=errors)


def run_not_found() -> Problem:
    return Problem(404, "RUN_NOT_FOUND", "Run not found")
