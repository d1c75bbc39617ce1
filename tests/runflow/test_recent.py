"""The dispatches that a process remembers: for half a minute, and at most a fixed number."""

from runflow_mcp.runflow.dispatch.attempts import Effect
from runflow_mcp.runflow.dispatch.recent import MAX_ENTRIES, RETENTION, RecentDispatches


def test_a_dispatch_is_remembered_for_half_a_minute() -> None:
    recent = RecentDispatches()
    recent.remember("a", Effect.CERTAIN, "r-1", None, now=0.0)
    entry = recent.recall("a", RETENTION - 0.1)
    assert entry is not None
    assert (entry.effect, entry.run_id) == (Effect.CERTAIN, "r-1")
    assert recent.recall("b", RETENTION - 0.1) is None
    assert recent.recall("a", RETENTION) is None
    assert len(recent) == 0


def test_a_later_entry_replaces_an_earlier_one_and_renews_it() -> None:
    recent = RecentDispatches()
    recent.remember("a", Effect.POSSIBLE, None, None, now=0.0)
    recent.remember("b", Effect.POSSIBLE, None, None, now=1.0)
    recent.remember("a", Effect.CERTAIN, "r-1", "digest", now=20.0)
    entry = recent.recall("a", RETENTION + 19.0)
    assert entry is not None
    assert (entry.run_id, entry.sent_digest) == ("r-1", "digest")
    assert recent.recall("b", RETENTION + 1.0) is None


def test_the_oldest_dispatch_is_forgotten_beyond_the_limit() -> None:
    recent = RecentDispatches()
    for number in range(MAX_ENTRIES + 10):
        recent.remember(str(number), Effect.POSSIBLE, None, None, now=0.0)
    assert len(recent) == MAX_ENTRIES
    assert recent.recall("9", 0.0) is None
    assert recent.recall("10", 0.0) is not None
