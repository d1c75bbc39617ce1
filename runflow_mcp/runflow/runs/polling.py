"""When to poll a run again: the schedule, and how a failed poll and the end of the wait change it.

Pure: times in, delays out; all figures are seconds. Every rule about the pace of polls is here.
"""

import math
from random import Random

import attrs

from runflow_mcp.runflow.backoff import Backoff

#: (until this many seconds of waiting, seconds between polls)
POLL_SCHEDULE = ((30.0, 2.0), (120.0, 5.0), (math.inf, 10.0))
#: A delay is up to this share shorter than the schedule's, so that runs started together are not polled in step.
JITTER = 0.1
#: Polls begin at multiples of a tick, so that polls of many runs share a turn of the event loop. With a thousand runs,
#: a poll then takes a third less processor time: its code is still in the processor's cache. The tick is the longest of
#: these seconds at which about ``POLLS_PER_TURN`` polls share a turn, which then takes about 10 ms. A longer one would
#: leave the jitter of the shortest delay nothing to choose from, and runs that started together would stay in step.
TICKS = (0.1, 0.05, 0.025, 0.0125)
POLLS_PER_TURN = 64
#: After a failed poll the schedule's delay doubles with each failure in a row, up to this.
MAX_BACKOFF = 30.0
#: The last poll comes this long before the call's time limit: a run that ended meanwhile is returned.
LAST_POLL_MARGIN = 0.5
#: A run that was just created may not be readable yet: "not found" this soon after the dispatch is read lag.
READ_LAG = 10.0
#: A task is polled by its client, and counts against this server's rate limits.
MIN_TASK_INTERVAL = 5.0


def poll_delay(waited: float) -> float:
    """Seconds until the next poll, after this many seconds of waiting."""
    return next(delay for until, delay in POLL_SCHEDULE if waited < until)


def tick(runs: int) -> float:
    """Seconds of which the starts of polls are multiples, while so many runs are polled."""
    for seconds in TICKS:
        if runs * seconds / POLL_SCHEDULE[0][1] <= POLLS_PER_TURN:
            return seconds
    return TICKS[-1]


def task_interval(age: float) -> float:
    """Seconds between two polls by the client of a task whose run has this age."""
    return max(MIN_TASK_INTERVAL, poll_delay(age))


@attrs.define
class PollTimer:
    """The polls of one call. ``started``, ``deadline`` (the call's time limit) and ``now``: seconds of one clock."""

    started: float
    deadline: float
    random: Random
    #: Failed polls in a row.
    failures: int = 0
    _delay: float = 0.0

    @classmethod
    def start(cls, now: float, deadline: float, random: Random, *, at_once: bool) -> "PollTimer":
        """``at_once``: the run has not been read yet, so the first poll does not wait."""
        return cls(now, deadline, random, delay=0.0 if at_once else poll_delay(0.0))

    def answered(self, now: float, runs: int) -> None:
        """A poll has read the run. ``runs``: how many runs this process polls at this time."""
        self.failures = 0
        step, longest = tick(runs), poll_delay(now - self.started)
        first = math.ceil((now + longest * (1.0 - JITTER)) / step)
        last = math.floor((now + longest) / step)
        self._delay = self.random.randint(first, last) * step - now

    def failed(self, now: float, retry_after: float | None) -> None:
        """A poll has failed. ``retry_after``: the least delay that upstream asked for, if any."""
        self.failures += 1
        # Not at a tick: a failing upstream gets its requests spread out.
        longest = Backoff(poll_delay(now - self.started), MAX_BACKOFF).after(self.failures)
        self._delay = max(self.random.uniform(longest * (1.0 - JITTER), longest), retry_after or 0.0)

    def delay(self, now: float) -> float:
        """Seconds to sleep before the next poll, which the last poll before the deadline may shorten."""
        left = self.deadline - now - LAST_POLL_MARGIN
        return min(self._delay, left) if left > LAST_POLL_MARGIN else self._delay

    def is_read_lag(self, now: float) -> bool:
        """Whether "not found", answered to a poll sent at ``now``, may mean that the run is not readable yet."""
        return now - self.started <= READ_LAG
