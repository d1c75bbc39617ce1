"""The settings of one environment as a report: every value, every error, and names that look misspelt. Pure."""

import difflib
from collections.abc import Mapping

import attrs

from runflow_mcp.settings.config import Config, name_in, parse_setting
from runflow_mcp.settings.masking import display_text, masked


@attrs.frozen(kw_only=True)
class Row:
    """One setting, secrets masked. ``error``: what is wrong with its value, None when nothing is."""

    name: str
    type: str
    default: str
    value: str
    is_set: bool
    help: str
    error: str | None = None


def survey(environ: Mapping[str, str]) -> list[Row]:
    """Every setting with its value in this environment, wrong values included."""
    rows = []
    for field in attrs.fields(Config):
        name, kind, default = (field.metadata[key] for key in ("name", "kind", "default"))
        value, error = None, None
        try:
            value = parse_setting(field, environ)
            text = display_text(field.default if value is None else value, kind)
        except ValueError as problem:
            text, error = masked(environ[name_in(field, environ)], kind), f"expected {problem}"
        rows.append(
            Row(
                name=name,
                type=kind,
                default=default,
                value=text,
                is_set=value is not None or error is not None,
                help=field.metadata["help"],
                error=error,
            )
        )
    return rows


def likely_typos(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """Names in the environment that look like a misspelt setting, each with the nearest setting."""
    names = [field.metadata["name"] for field in attrs.fields(Config)]
    return [
        (name, nearest[0])
        for name in sorted(environ)
        if name.startswith(("MCP_", "RUNFLOW_"))
        and name not in names
        and (nearest := difflib.get_close_matches(name, names, n=1, cutoff=0.85))
    ]
