"""The output of commands on a terminal: colours, and a bar while ``check`` waits. Elsewhere it is plain lines.

Colours are the only style, so that nothing of it is left where ``NO_COLOR`` is set.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TextIO

import attrs
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from runflow_mcp.cli import terminal
from runflow_mcp.cli.check_report import INDENT, Lines, Report, RunProgress, Step, head


def console_of(stream: TextIO, environ: Mapping[str, str]) -> Console | None:
    """The console of a terminal that can move its cursor; None where plain lines are all that can be shown."""
    if not stream.isatty() or environ.get("TERM") == "dumb":
        return None
    return Console(file=stream, no_color=not terminal.wants_colors(stream, environ), highlight=False)


def print_text(text: str, environ: Mapping[str, str], colors: Mapping[str, str]) -> None:
    """Print a text. ``colors``: regular expression → the colour of what it matches."""
    console = console_of(sys.stdout, environ)
    if console is None:
        terminal.print_line(text)
        return
    shown = Text(text)
    for expression, color in colors.items():
        shown.highlight_regex(expression, color)
    with terminal.writing(sys.stdout):
        console.print(shown, soft_wrap=True)


@contextmanager
def steps_report(environ: Mapping[str, str]) -> Iterator[Report]:
    """Where ``check`` reports its steps: with a bar on a terminal, else as lines."""
    console = console_of(sys.stdout, environ)
    if console is None:
        yield Lines(terminal.print_line)
        return
    columns = (SpinnerColumn(), BarColumn(bar_width=24), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as bar:
        yield _Screen(console, bar)


@attrs.define
class _Screen:
    """A line for each step that has ended, and below them a bar for the one that is under way."""

    console: Console
    bar: Progress
    _task: TaskID | None = None
    _named: bool = False

    def begin(self, step: str) -> None:
        self._task = self.bar.add_task(step, total=None)

    def progress(self, now: RunProgress) -> None:
        if not self._named:
            self._named = True
            self.note(now.message)  # it names the run, which whoever interrupts the wait needs
        if self._task is not None:
            self.bar.update(self._task, description=now.message, completed=now.progress, total=now.total)

    def note(self, text: str) -> None:
        self._print(Text(f"{INDENT}{text}"))

    def end(self, step: Step) -> None:
        if self._task is not None:
            self.bar.remove_task(self._task)
            self._task = None
        line = Text.assemble((head(step), "green" if step.ok else "red"), " ", step.detail)
        if step.fix:
            line.append(f" {step.fix}", "yellow")
        self._print(line)
        for text in step.more:
            self.note(text)

    def _print(self, text: Text) -> None:
        with terminal.writing(sys.stdout):
            self.console.print(text, soft_wrap=True)
