"""The owner of the Runflow agent skill: the bundled text until the live one has been had, then the live one."""

from importlib.resources import files

import aiohttp
import attrs
import structlog

from runflow_mcp.clock import Clock
from runflow_mcp.runflow.api.errors import UpstreamError
from runflow_mcp.runflow.catalog import documents
from runflow_mcp.runflow.catalog.memo import Memo

log = structlog.get_logger(__name__)

#: Clients cut instructions at a few thousand characters; a longer document than this is no skill.
MAX_SKILL_BYTES = 64 * 1024
RETRY = 60.0


@attrs.define(eq=False)
class SkillText(Memo):
    """One version of the skill."""

    markdown: str


def bundled() -> SkillText:
    """The skill that ships with the package."""
    return SkillText(files("runflow_mcp.runflow.catalog").joinpath("skill.md").read_text(encoding="utf-8"))


def read_skill(document: documents.Document) -> SkillText | None:
    """The skill in a fetched document; None when it is no Markdown text of a sane size."""
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

    session: aiohttp.ClientSession = attrs.field(repr=False)
    url: str
    ttl: float
    timeout: float
    clock: Clock = attrs.field(repr=False)
    current: SkillText = attrs.field(factory=bundled, repr=False)
    _etag: str | None = None

    async def keep_fresh(self) -> None:
        """Refresh for ever; the body of a background task. Without a URL there is nothing to do."""
        while self.url:
            fetched = await self._refresh()
            await self.clock.sleep(self.ttl if fetched else min(RETRY, self.ttl))

    async def _refresh(self) -> bool:
        try:
            document = await documents.fetch(self.session, self.url, timeout=self.timeout, etag=self._etag)
        except UpstreamError as error:
            log.warning("skill_fetch_failed", reason=error.reason, problem=error.problem)
            return False
        if document is None:
            return True
        skill = read_skill(document)
        if skill is None:
            log.warning("skill_fetch_failed", reason="the document is no Markdown text")
            return False
        self.current, self._etag = skill, document.etag
        return True
