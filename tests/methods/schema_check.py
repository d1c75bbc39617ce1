"""Helpers: checks by an independent JSON Schema validator."""

from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]


def fits(schema: Mapping[str, Any], value: object) -> bool:
    """Raises with the reason when ``value`` does not fit ``schema``."""
    Draft202012Validator(schema).validate(value)
    return True


def is_schema(schema: Mapping[str, Any]) -> bool:
    """Raises with the reason when ``schema`` is not a JSON Schema."""
    Draft202012Validator.check_schema(schema)
    return True
