"""When to ask for a run again. Pure."""

#: (until this many seconds of waiting, seconds between polls)
POLL_SCHEDULE = ((30.0, 2.0), (120.0, 5.0))
POLL_DELAY_LAST = 10.0


def poll_delay(waited: float) -> float:
    """Seconds until the next poll, after so many seconds of waiting."""
    for until, delay in POLL_SCHEDULE:
        if waited < until:
            return delay
    return POLL_DELAY_LAST
