"""The skill: the bundled text until a live one has been fetched, and never a document that is not a skill."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from runflow_mcp.runflow.catalog.documents import Document, Source
from runflow_mcp.runflow.catalog.skill import MAX_SKILL_BYTES, Skill, bundled_skill, read_skill
from runflow_mcp.sandbox import RunningSandbox
from runflow_mcp.sandbox.catalog import skill_document
from tests.scripted_sandbox import Hang, RecordedRequest, Reset, Respond, ScriptedSandbox, Truncate
from tests.virtual_time import VirtualClock

TTL = 300.0
PATH = "/.well-known/agent-skills/runflow/SKILL.md"
LIVE = skill_document().decode().strip()


def make(session: aiohttp.ClientSession, url: str, clock: VirtualClock) -> Skill:
    return Skill(Source("skill", session, url, 30.0, clock), TTL, clock)


@pytest.fixture
def skill(session: aiohttp.ClientSession, upstream: RunningSandbox, clock: VirtualClock) -> Skill:
    return make(session, f"{upstream.url}{PATH}", clock)


@asynccontextmanager
async def kept(skill: Skill, clock: VirtualClock, seconds: float = 0.01) -> AsyncIterator[None]:
    """With the background task that the server would run, after so many seconds."""
    task = asyncio.create_task(skill.keep_fresh())
    try:
        await clock.sleep(seconds)
        yield
        assert not task.done() or not skill.source.url, "the background task must never end"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def fetches(sandbox: ScriptedSandbox) -> list[RecordedRequest]:
    return [seen for seen in sandbox.requests if seen.path == PATH]


def document(body: bytes, content_type: str = "text/markdown") -> Document:
    return Document(body, None, content_type)


# What is a skill


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"# Runflow", "text/markdown"),
        (b"---\nname: runflow\n---\n\n# Runflow\n", "text/plain"),
        (b"\xef\xbb\xbf# Runflow", "application/octet-stream"),
        ("# Rünflow".encode(), "text/markdown"),
        (b"# " + b"x" * (MAX_SKILL_BYTES - 2), "text/markdown"),
    ],
)
def test_a_markdown_text_is_a_skill(body: bytes, content_type: str) -> None:
    read = read_skill(document(body, content_type))
    assert read is not None
    assert read.markdown == body.decode("utf-8-sig").strip()


NO_SKILL = {
    "a page": (b"<!doctype html><html></html>", "text/html"),
    "a page under another name": (b"\n <!DOCTYPE html>\n<html></html>", "text/markdown"),
    "xml": (b"<?xml version='1.0'?>", "text/plain"),
    "markdown said to be a page": (b"# Runflow", "text/html"),
    "xhtml": (b"# x", "application/xhtml+xml"),
    "json": (b'{"error":"not found"}', "application/json"),
    "nothing": (b"", "text/markdown"),
    "white space": (b" \n\t", "text/markdown"),
    "no text": (b"\x89PNG\r\n\x1a\n", "text/markdown"),
    "text with zeros": (b"# a\x00b", "text/markdown"),
    "utf-16": ("# Runflow".encode("utf-16"), "text/markdown"),
    "too long": (b"# " + b"x" * MAX_SKILL_BYTES, "text/markdown"),
}


@pytest.mark.parametrize(("body", "content_type"), NO_SKILL.values(), ids=NO_SKILL)
def test_a_document_that_is_not_markdown_is_not_a_skill(body: bytes, content_type: str) -> None:
    assert read_skill(document(body, content_type)) is None


def test_the_bundled_skill_is_valid() -> None:
    text = bundled_skill().markdown
    assert text == text.strip() + "\n" or text == text.strip()
    assert read_skill(document(text.encode())) is not None
    assert text.index("Solution") < 1800


# What is current


async def test_the_bundled_skill_is_current_until_the_live_one_has_been_fetched(
    skill: Skill, sandbox: ScriptedSandbox, clock: VirtualClock
) -> None:
    assert skill.current.markdown == bundled_skill().markdown
    async with kept(skill, clock):
        assert skill.current.markdown == LIVE
    [seen] = fetches(sandbox)
    assert (seen.key, seen.headers.get("Cookie")) == (None, None)


@pytest.mark.parametrize(("body", "content_type"), NO_SKILL.values(), ids=NO_SKILL)
async def test_a_document_that_is_not_a_skill_leaves_the_bundled_one(
    skill: Skill, sandbox: ScriptedSandbox, clock: VirtualClock, body: bytes, content_type: str
) -> None:
    sandbox.script.add("skill", Respond(200, body, {"Content-Type": content_type, "ETag": '"bad"'}))
    async with kept(skill, clock, 5):
        assert skill.current.markdown == bundled_skill().markdown
        await clock.sleep(60)
        assert skill.current.markdown == LIVE, "it is asked for again within a minute"
    assert fetches(sandbox)[1].headers.get("If-None-Match") is None


@pytest.mark.parametrize(
    "action",
    [Respond(404), Respond(500), Reset(), Truncate(), Hang(600)],
    ids=["404", "500", "reset", "torn", "silence"],
)
async def test_a_failed_fetch_leaves_the_last_live_skill(
    skill: Skill, sandbox: ScriptedSandbox, clock: VirtualClock, action: Respond | Reset | Truncate | Hang
) -> None:
    async with kept(skill, clock):
        live = skill.current
        sandbox.script.add("skill", action, times=None)
        await clock.sleep(TTL * 3)
        assert skill.current is live
        sandbox.script.clear()
        await clock.sleep(100)
        assert skill.current is live, "unchanged is unchanged: nothing is built anew"


async def test_an_unchanged_skill_is_not_sent_again(
    skill: Skill, sandbox: ScriptedSandbox, clock: VirtualClock
) -> None:
    async with kept(skill, clock, TTL * 2 + 1):
        assert len(fetches(sandbox)) == 3
    assert [bool(seen.headers.get("If-None-Match")) for seen in fetches(sandbox)] == [False, True, True]


async def test_a_new_skill_replaces_the_previous_one(
    skill: Skill, sandbox: ScriptedSandbox, clock: VirtualClock
) -> None:
    async with kept(skill, clock):
        sandbox.script.add("skill", Respond(200, b"# New", {"Content-Type": "text/markdown"}))
        await clock.sleep(TTL)
        assert skill.current.markdown == "# New"
        await clock.sleep(TTL)
        assert skill.current.markdown == LIVE


async def test_three_redirects_of_the_skill_are_followed(
    skill: Skill, sandbox: ScriptedSandbox, clock: VirtualClock
) -> None:
    sandbox.script.add("skill", Respond(302, headers={"Location": PATH}), times=3)
    async with kept(skill, clock):
        assert skill.current.markdown == LIVE


@pytest.mark.usefixtures("upstream")
async def test_without_a_url_no_skill_is_fetched(
    session: aiohttp.ClientSession, sandbox: ScriptedSandbox, clock: VirtualClock
) -> None:
    skill = make(session, "", clock)
    async with kept(skill, clock, TTL * 2):
        assert skill.current.markdown == bundled_skill().markdown
    assert not sandbox.requests
