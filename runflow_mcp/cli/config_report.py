"""The four outputs of ``runflow-mcp config``: text, ``.env``, JSON and the README's table. Pure."""

import html
from collections.abc import Mapping, Sequence

import attrs
import orjson

from runflow_mcp.settings.config import Config
from runflow_mcp.settings.masking import MASK
from runflow_mcp.settings.survey import Row
from runflow_mcp.settings.warnings import SettingWarning

#: What is coloured on a terminal.
COLORS = {r"(?m)^[A-Z_]+(?= \()": "cyan", r"(?m)^ +WRONG:.*": "red", r"(?m)^ +WARNING:.*": "yellow"}


def as_text(rows: Sequence[Row], warnings: Sequence[SettingWarning]) -> str:
    """Four lines per setting; wrong and questionable values are marked."""
    lines = []
    for row in rows:
        lines += [
            f"{row.name} ({row.type})",
            f"    {row.help}",
            f"    default: {row.default or '(empty)'}",
            f"    now:     {row.value or '(empty)'}",
        ]
        if row.error is not None:
            lines.append(f"    WRONG:   {row.error}")
        lines += [
            f"    WARNING: {warning.why}. Fix: {warning.fix}" for warning in warnings if warning.setting == row.name
        ]
    return "\n".join(lines)


def as_json(rows: Sequence[Row]) -> str:
    """An array of objects with the members of ``Row``; ``error`` is null for a valid value."""
    return orjson.dumps([attrs.asdict(row) for row in rows], option=orjson.OPT_INDENT_2).decode()


def as_env(rows: Sequence[Row], environ: Mapping[str, str]) -> str:
    """A ``.env`` file: settings that are set as they are, every default commented out.

    A value with a password is masked and commented out: terminal output is often pasted into chats.
    """
    blocks = []
    for row in rows:
        given = environ.get(row.name, "").strip()
        if row.error is not None:
            assignment = f"# wrong: {row.error}\n# {row.name}={_quoted(row.value)}"
        elif row.is_set and MASK in row.value and row.value != given:
            assignment = f"# set, with a secret that is not shown:\n# {row.name}={_quoted(row.value)}"
        elif row.is_set:
            assignment = f"{row.name}={_quoted(given)}"
        else:
            assignment = f"# {row.name}={_quoted(row.default)}"
        blocks.append(f"# {row.help}\n{assignment}")
    return "\n\n".join(blocks)


def _quoted(value: str) -> str:
    """The value as a ``.env`` file needs it; inside single quotes nothing is expanded."""
    plain = all(char.isalnum() or char in "_-.,:/*[]%+=@" for char in value)
    if plain:
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def as_markdown() -> str:
    """The README's table of settings."""
    lines = ["| name | type | default | meaning |", "|---|---|---|---|"]
    for name, kind, default, _, help_ in Config().table():
        # Markdown would drop a <placeholder> as an unknown tag.
        meaning = html.escape(help_, quote=False)
        lines.append(f"| `{name}` | {kind} | {f'`{default}`' if default else 'empty'} | {meaning} |")
    return "\n".join(lines)
