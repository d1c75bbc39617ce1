"""The owner of the Runflow agent skill: the bundled text until the live one has been fetched, then the live one."""

import math
from importlib.resources import files

import attrs

from runflow_mcp.clock import Clock
from runflow_mcp.runflow.api.errors import Outcome, UpstreamError
from runflow_mcp.runflow.backoff import Backoff
from runflow_mcp.runflow.catalog.documents import Document, Source
from runflow_mcp.runflow.catalog.memo import Memo

#: Clients cut instructions at a few thousand characters, so a longer document is not a skill.
MAX_SKILL_BYTES = 64 * 1024
#: Seconds after a failure; nothing waits for the skill, since one is bundled.
RETRY = 60.0


@attrs.define(eq=False)
class SkillText(Memo):
    """One version of the skill."""

    markdown: str


def bundled_skill() -> SkillText:
    """The skill that ships with the package."""
    return SkillText(files("runflow_mcp.runflow.catalog").joinpath("skill.md").read_text(encoding="utf-8"))


def read_skill(document: Document) -> SkillText | None:
    """The skill in a fetched document; None when that is not a Markdown text of at most ``MAX_SKILL_BYTES``."""
    if len(document.body) > MAX_SKILL_BYTES or "html" in document.content_type:
        return None
    try:
        text = document.body.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        return None
    return None if not text or text.startswith(("<", "{")) or "\0" in text else SkillText(text)


@attrs.define
class Skill:
    """The skill as this process has it. ``ttl``: seconds between refreshes."""

    source: Source
    ttl: float
    clock: Clock = attrs.field(repr=False)
    current: SkillText = attrs.field(factory=bundled_skill, repr=False)
    _etag: str | None = None
    _confirmed: float = -math.inf

    def fresh_for(self) -> float:
        """Seconds until the skill may change; 0 while a refresh is due."""
        if not self.source.url:
            return self.ttl
        return max(0.0, self._confirmed + self.ttl - self.clock.monotonic())

    async def keep_fresh(self) -> None:
        """Refresh forever; the body of a background task. Without a URL there is nothing to do."""
        if self.source.url:
            backoff = Backoff(first=RETRY, limit=min(RETRY, self.ttl))
            await self.source.refresh_forever(self._refresh, interval=self.ttl, backoff=backoff)

    async def _refresh(self) -> UpstreamError | None:
        try:
            document = await self.source.fetch(self._etag)
        except UpstreamError as error:
            return error
        if document is not None:
            skill = read_skill(document)
            if skill is None:
                return UpstreamError(
                    Outcome.UNKNOWN, self.source.url, "the document is not a Markdown text", status=200
                )
            # An unchanged text keeps what is cached with it.
            if skill.markdown != self.current.markdown:
                self.current = skill
            self._etag = document.etag
        self._confirmed = self.clock.monotonic()
        return None
