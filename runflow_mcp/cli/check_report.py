"""What ``runflow-mcp check`` reports of its steps, as lines and as one JSON object. Pure."""

from collections.abc import Callable, Sequence
from typing import Protocol

import attrs
import orjson

MAX_LINE = 600
#: Columns before the text of a line that belongs to the one before it.
INDENT = "     "


@attrs.frozen
class Step:
    """One step that was carried out. ``detail``: what was found, or the cause of the failure.

    ``fix``: what to do about the failure; None when there is none. ``more``: further lines from the server.
    """

    step: str
    ok: bool
    ms: int
    detail: str
    fix: str | None = None
    more: Sequence[str] = ()


@attrs.frozen
class RunProgress:
    """The progress of a run. ``total``: None where it is unknown."""

    progress: float
    total: float | None
    message: str


class Report(Protocol):
    """Where the steps go as they happen."""

    def begin(self, step: str) -> None: ...

    def progress(self, now: RunProgress) -> None: ...

    def note(self, text: str) -> None: ...

    def end(self, step: Step) -> None: ...


def head(step: Step) -> str:
    """The beginning of a step's line: ``ok   tools/list (12 ms):``."""
    return f"{'ok  ' if step.ok else 'FAIL'} {step.step} ({step.ms} ms):"


@attrs.frozen
class Lines:
    """A line for each step, and one for each progress of a run."""

    print_line: Callable[[str], None]

    def begin(self, step: str) -> None:
        """Nothing is printed until the step has ended."""

    def progress(self, now: RunProgress) -> None:
        self.note(now.message)

    def note(self, text: str) -> None:
        self.print_line(f"{INDENT}{text}")

    def end(self, step: Step) -> None:
        self.print_line(f"{head(step)} {step.detail}{f' {step.fix}' if step.fix else ''}")
        for line in step.more:
            self.note(line)


@attrs.frozen
class Collected:
    """The steps, for one JSON object at the end."""

    steps: list[Step] = attrs.field(factory=list)

    def begin(self, step: str) -> None:
        """Steps are collected when they have ended."""

    def progress(self, now: RunProgress) -> None:
        """Left out."""

    def note(self, text: str) -> None:
        """Left out."""

    def end(self, step: Step) -> None:
        self.steps.append(step)

    def as_json(self, url: str) -> str:
        steps = [
            {
                "step": step.step,
                "ok": step.ok,
                "ms": step.ms,
                "detail": " ".join((step.detail, *step.more)),
                "fix": step.fix,
            }
            for step in self.steps
        ]
        return orjson.dumps({"ok": all(step.ok for step in self.steps), "url": url, "steps": steps}).decode()


def safe_text(text: str, key: str) -> str:
    """Text of a server's as one printable line of at most ``MAX_LINE`` characters, with the key masked."""
    masked = text.replace(key, "[key]") if key else text
    line = "".join(char if char.isprintable() else " " for char in masked).rstrip()
    return line if len(line) <= MAX_LINE else f"{line[:MAX_LINE]} …"
