"""The command ``config``: every setting, and which of them are wrong."""

import argparse

import attrs

from runflow_mcp.cli import config_report, extras, terminal
from runflow_mcp.cli.environment import USAGE_ERROR, read_environment
from runflow_mcp.settings.config import Config
from runflow_mcp.settings.survey import survey
from runflow_mcp.settings.warnings import setting_warnings


def config_command(arguments: argparse.Namespace) -> int:
    if arguments.markdown:
        terminal.print_line(config_report.as_markdown())
        return 0
    environ = read_environment()
    rows = [
        attrs.evolve(row, error=row.error or extras.missing_package(row.name, row.value)) for row in survey(environ)
    ]
    wrong = [row.name for row in rows if row.error is not None]
    if arguments.json:
        terminal.print_line(config_report.as_json(rows))
    elif arguments.env:
        terminal.print_line(config_report.as_env(rows, environ))
    else:
        from runflow_mcp.cli import screen  # noqa: PLC0415 - only this form of the output needs Rich

        warnings = [] if wrong else setting_warnings(Config.from_mapping(environ))
        screen.print_text(config_report.as_text(rows, warnings), environ, config_report.COLORS)
    if wrong:
        terminal.print_error(f"Wrong: {', '.join(wrong)}. The server does not start with these settings.")
    return USAGE_ERROR if wrong else 0
