"""The limit of open files: every connection is one, and systems start processes with few allowed."""

try:
    import resource
except ImportError:  # Windows has no such limit
    resource = None  # type: ignore[assignment]

#: Files open beside connections and waits: log, event loop, catalog and skill, Redis, sandbox.
SPARE = 256
#: What counts as no limit: more than any machine serves, and some systems report a huge number.
UNLIMITED = 1 << 20


def raise_limit() -> int:
    """Raise the soft limit to the hard one, as far as the system lets; returns what is allowed now."""
    if resource is None:
        return UNLIMITED
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return UNLIMITED
    # macOS has no hard limit and yet refuses more than its kernel allows.
    for wanted in (UNLIMITED, UNLIMITED // 16, 10_240) if hard == resource.RLIM_INFINITY else (hard,):
        if wanted <= soft:
            break
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            continue
        return wanted
    return soft


def needed(max_waits: int) -> int:
    """What a process with this many waiting calls opens: each has its client's connection and one to Runflow."""
    return 2 * max_waits + SPARE
