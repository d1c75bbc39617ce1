"""Who imports whom, read from the sources without running them.

``python -m tests.import_graph`` prints the pure test files, for ``make quick``: those that reach no I/O through any
import and start nothing themselves.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "runflow_mcp"
#: What pure code must not reach, by itself or through what it imports.
IO_PACKAGES = ("aiohttp", "asyncio", "socket", "uvloop", "redis", "http.client", "http.server", "threading")
#: What a test file must not use to count as pure: it would start a program or wait.
_IO_IN_TESTS = (*IO_PACKAGES, "subprocess", "multiprocessing", "time", "tracemalloc", "os.fork", "runflow_mcp.sandbox")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imported(path: Path) -> frozenset[str]:
    """The dotted names that a module imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full"
            assert node.module is not None
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(names)


def module_path(name: str) -> Path | None:
    """The file of a dotted name: the module itself, or the one that defines what is imported."""
    path = ROOT / name.replace(".", "/")
    candidates = (path.with_suffix(".py"), path / "__init__.py", path.parent.with_suffix(".py"))
    return next((path for path in candidates if path.is_file()), None)


@cache
def reached(path: Path) -> frozenset[str]:
    """The dotted names that a module imports, directly or through modules of this repository."""
    seen, waiting, names = {path}, [path], set[str]()
    while waiting:
        own = imported(waiting.pop())
        names |= own
        inside = {module_path(name) for name in own if name.startswith(("runflow_mcp.", "tests."))}
        waiting += [module for module in inside if module is not None and module not in seen]
        seen |= {module for module in inside if module is not None}
    return frozenset(names)


def is_below(name: str, packages: tuple[str, ...]) -> bool:
    """Whether a dotted name is one of the packages or something in one."""
    return any(f"{name}.".startswith(f"{package}.") for package in packages)


def is_pure_test(path: Path) -> bool:
    text = path.read_text(encoding="utf-8")
    if "async def" in text or "real_time" in text:  # looked for first: parsing every test would take seconds
        return False
    return not any(is_below(name, _IO_IN_TESTS) for name in reached(path))


def pure_tests() -> Iterator[Path]:
    return (path for path in sorted(ROOT.glob("tests/**/test_*.py")) if is_pure_test(path))


if __name__ == "__main__":
    for path in pure_tests():
        print(path.relative_to(ROOT))  # noqa: T201
