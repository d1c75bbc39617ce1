"""The limit of open files, which counts connections too; by default it is low on most systems."""

try:
    import resource
except ImportError:  # Windows has no such module and no such limit
    resource = None  # type: ignore[assignment]

#: Open files besides the connections of waiting calls: log, event loop, catalog and skill, Redis, sandbox.
OTHER_FILES = 256
#: Stands for "no limit", since some systems report a huge number; no process has as many.
UNLIMITED = 1 << 20


def raise_limit() -> int:
    """Raise the soft limit to the hard one, as far as the system allows. Returns the resulting limit."""
    if resource is None:
        return UNLIMITED
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return UNLIMITED
    # macOS has no hard limit, but rejects more than its kernel allows.
    for limit in (UNLIMITED, UNLIMITED // 16, 10_240) if hard == resource.RLIM_INFINITY else (hard,):
        if limit <= soft:
            break
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        except (OSError, ValueError):
            continue
        return limit
    return soft


def needed(max_waits: int) -> int:
    """Open files of a process with this many waiting calls: each has its client's connection and one to Runflow."""
    return 2 * max_waits + OTHER_FILES
