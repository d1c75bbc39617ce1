"""The shape of the package: imports run one way, and time, environment and HTTP come in by one door each."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import runflow_mcp

ROOT = Path(runflow_mcp.__file__).parent
MAX_LINES = 350

#: room → exactly the rooms that it imports. A room is a folder of the package (of ``runflow`` each folder in it), or a
#: module on the ground floor. A new edge is written down here, and one that is gone is taken out.
IMPORTS: dict[str, set[str]] = {
    "json_types": set(),
    "identifiers": set(),
    "clock": set(),
    "open_files": set(),
    "process_errors": {"clock", "open_files"},
    "bounds": set(),
    "key_mistakes": set(),
    "lenient_json": {"json_types"},
    "errors": {"json_types", "bounds"},
    "credentials": {"errors", "key_mistakes"},
    "settings": set(),
    "observability": {"json_types", "clock", "settings"},
    "protocol": {"json_types", "bounds", "lenient_json"},
    "ratelimit": {"json_types", "clock", "settings", "errors", "credentials"},
    "runflow/backoff": set(),
    "runflow/reading": {"json_types", "lenient_json"},
    "runflow/runs": {"json_types", "identifiers", "runflow/reading"},
    "runflow/api": {
        "__init__",
        "json_types",
        "lenient_json",
        "clock",
        "settings",
        "credentials",
        "runflow/reading",
        "runflow/runs",
    },
    "runflow/dispatch": {"json_types", "clock", "credentials", "runflow/reading", "runflow/runs", "runflow/api"},
    "runflow/catalog": {"json_types", "identifiers", "lenient_json", "clock", "runflow/reading", "runflow/api"},
    "methods": {
        "__init__",
        "json_types",
        "lenient_json",
        "bounds",
        "identifiers",
        "clock",
        "settings",
        "errors",
        "credentials",
        "protocol",
        "runflow/reading",
        "runflow/runs",
        "runflow/api",
        "runflow/dispatch",
        "runflow/catalog",
    },
    "web": {
        "__init__",
        "json_types",
        "bounds",
        "settings",
        "errors",
        "credentials",
        "observability",
        "protocol",
        "ratelimit",
        "methods",
    },
    # The simulated upstream knows nothing of what it is there to test.
    "sandbox": {"clock"},
}
#: Where everything is put together; nothing else may import these.
TOP = {"app", "serve", "cli", "__main__"}
#: What a module that calls itself pure must not reach, by itself or through what it imports.
IO_PACKAGES = ("aiohttp", "asyncio", "socket", "uvloop", "redis", "http.client", "http.server", "threading")
PAINTING = {"brush", "caption", "landmarks", "media", "painting"}
HTTP_ROOMS = {"runflow/api", "runflow/catalog", "web", "sandbox", *TOP}


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room_of(module: str) -> str:
    """The room of a module, given as its path below the package without ``.py``."""
    first, _, rest = module.partition("/")
    return f"{first}/{rest.partition('/')[0]}" if first == "runflow" and rest else first


def room(path: Path) -> str:
    return room_of(name_of(path).removesuffix(".py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> Iterator[str]:
    """The dotted names of what a module imports, wherever in it the import stands."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full"
            assert node.module is not None
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def rooms_imported(path: Path) -> set[str]:
    found = set()
    for name in imported(path):
        package, _, inside = name.partition(".")
        if package == "runflow_mcp":
            first = inside.partition(".")[0]
            exists = (ROOT / first).is_dir() or (ROOT / f"{first}.py").is_file()
            found.add(room_of(inside.replace(".", "/")) if exists else "__init__")
    return found


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def uses(path: Path) -> set[str]:
    """Every dotted name that a module reads, and every name it imports."""
    return {dotted(node) for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)} | set(imported(path))


each_module = pytest.mark.parametrize("path", modules(), ids=name_of)


def test_every_room_imports_exactly_what_is_written_down() -> None:
    found: dict[str, set[str]] = {}
    for path in modules():
        found.setdefault(room(path), set()).update(rooms_imported(path))
    below = {
        name: rooms - {name} for name, rooms in found.items() if name not in {*TOP, "__init__", "runflow/__init__"}
    }
    assert below == IMPORTS


def test_the_imports_have_no_circle() -> None:
    left = {name: rooms - {"__init__"} for name, rooms in IMPORTS.items()}
    while left:
        ground = {name for name, rooms in left.items() if not rooms}
        assert ground, f"a circle among {sorted(left)}"
        left = {name: rooms - ground for name, rooms in left.items() if name not in ground}


def module_path(name: str) -> Path | None:
    """The file of a dotted name below the package: a module's own, or the one that defines what is imported."""
    inside = name.removeprefix("runflow_mcp.").replace(".", "/")
    candidates = (ROOT / f"{inside}.py", (ROOT / inside).parent.with_suffix(".py"))
    return next((path for path in candidates if path.is_file()), None)


@cache
def reached(path: Path) -> frozenset[str]:
    """The dotted names that a module imports, and those that its imports inside the package reach."""
    own = set(imported(path))
    inside = {module_path(name) for name in own if name.startswith("runflow_mcp.")} - {None, path}
    return frozenset(own.union(*(reached(other) for other in inside if other is not None)))


@pytest.mark.parametrize(
    "path", [path for path in modules() if "Pure" in (ast.get_docstring(tree(path)) or "")], ids=name_of
)
def test_a_module_that_calls_itself_pure_reaches_no_io(path: Path) -> None:
    assert not [name for name in reached(path) if any(f"{name}.".startswith(f"{one}.") for one in IO_PACKAGES)]


@pytest.mark.parametrize("name", ["protocol", "runflow/reading", "runflow/runs"])
def test_the_core_calls_itself_pure(name: str) -> None:
    impure = [path for path in modules() if room(path) == name and path.stem != "__init__"]
    assert all("Pure" in (ast.get_docstring(tree(path)) or "") for path in impure)


@each_module
def test_aiohttp_is_known_at_the_edges_alone(path: Path) -> None:
    if any(name.partition(".")[0] == "aiohttp" for name in imported(path)):
        assert room(path) in HTTP_ROOMS


@each_module
def test_pillow_is_known_to_the_painting_alone(path: Path) -> None:
    """It is optional: whoever else needs a picture imports one of these when it is asked for."""
    if any(name.partition(".")[0] == "PIL" for name in imported(path)):
        assert name_of(path) in {f"sandbox/{name}.py" for name in PAINTING}


@each_module
def test_the_environment_is_read_by_the_command_line_alone(path: Path) -> None:
    doors = {"os.environ", "os.environb", "os.getenv", "os.getenvb", "dotenv"}
    if name_of(path) != "cli/environment.py":
        assert not [name for name in uses(path) if any(f"{name}.".startswith(f"{door}.") for door in doors)]


@each_module
def test_time_is_read_from_the_clock_alone(path: Path) -> None:
    if name_of(path) == "clock.py" or room(path) == "sandbox":
        return
    read = uses(path)
    assert "time" not in {name.partition(".")[0] for name in imported(path)}
    assert not read & {"asyncio.sleep", "datetime.now", "datetime.utcnow", "datetime.datetime.now", "date.today"}


@each_module
def test_the_key_is_revealed_to_the_upstream_client_alone(path: Path) -> None:
    revealed = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute) and node.attr == "reveal"]
    assert len(revealed) == (name_of(path) == "runflow/api/client.py")


@each_module
def test_a_module_fits_on_a_few_screens(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


@each_module
def test_a_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(tree(path))
