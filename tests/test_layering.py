"""The shape of the package: imports run one way; time, environment and HTTP are each used in few places."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.import_graph import IO_PACKAGES, PACKAGE, imported, is_below, reached, tree

MAX_LINES = 350

#: room → exactly the rooms that it imports. A room is a folder of the package (of ``runflow`` each folder in it), or a
#: module on the ground floor. A new edge is written down here, and one that is gone is taken out.
IMPORTS: dict[str, set[str]] = {
    "json_types": set(),
    "identifiers": set(),
    "clock": set(),
    "open_files": set(),
    "signals": set(),
    "listening_sockets": set(),
    "process_errors": {"clock", "open_files"},
    "bounds": set(),
    "addresses": set(),
    "key_mistakes": set(),
    "lenient_json": {"json_types"},
    "errors": {"json_types", "bounds"},
    "credentials": {"errors", "key_mistakes"},
    "settings": {"addresses"},
    "observability": {"json_types", "clock", "settings", "errors", "protocol"},
    "protocol": {"json_types", "bounds", "lenient_json"},
    "ratelimit": {"json_types", "clock", "settings", "errors", "credentials"},
    "runflow/backoff": set(),
    "runflow/reading": {"json_types", "lenient_json"},
    "runflow/assets": {"json_types", "addresses", "runflow/reading"},
    "runflow/runs": {"json_types", "identifiers", "runflow/backoff", "runflow/reading"},
    "runflow/api": {
        "__init__",
        "json_types",
        "lenient_json",
        "clock",
        "settings",
        "credentials",
        "observability",
        "runflow/reading",
        "runflow/runs",
        "runflow/assets",
    },
    "runflow/dispatch": {
        "json_types",
        "clock",
        "credentials",
        "observability",
        "runflow/backoff",
        "runflow/reading",
        "runflow/runs",
        "runflow/api",
        "runflow/assets",
    },
    "runflow/catalog": {
        "json_types",
        "identifiers",
        "lenient_json",
        "clock",
        "observability",
        "runflow/backoff",
        "runflow/reading",
        "runflow/api",
        "runflow/assets",
    },
    "client_recipes": {"json_types", "addresses"},
    "view": {"json_types", "addresses", "settings"},
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
        "observability",
        "protocol",
        "runflow/backoff",
        "runflow/reading",
        "runflow/runs",
        "runflow/api",
        "runflow/dispatch",
        "runflow/catalog",
        "view",
        "runflow/assets",
    },
    "web": {
        "__init__",
        "json_types",
        "bounds",
        "addresses",
        "clock",
        "client_recipes",
        "settings",
        "errors",
        "credentials",
        "observability",
        "protocol",
        "ratelimit",
        "methods",
        "listening_sockets",
    },
    "workers": {"clock", "signals", "observability", "runflow/backoff"},
    # The simulated upstream knows nothing of what it is there to test.
    "sandbox": {"clock", "listening_sockets"},
}
#: Where everything is put together; nothing else may import these.
TOP = {"app", "serve", "cli", "__main__"}
PAINTING = {"brush", "caption", "files", "landmarks", "painting", "uploaded"}
HTTP_ROOMS = {"runflow/api", "runflow/catalog", "web", "sandbox", *TOP}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def room_of(module: str) -> str:
    """The room of a module, given as its path below the package without ``.py``."""
    first, _, rest = module.partition("/")
    return f"{first}/{rest.partition('/')[0]}" if first == "runflow" and rest else first


def room(path: Path) -> str:
    return room_of(name_of(path).removesuffix(".py"))


def docstring(path: Path) -> str:
    return ast.get_docstring(tree(path)) or ""


def rooms_imported(path: Path) -> Iterator[str]:
    for name in imported(path):
        package, _, inside = name.partition(".")
        if package == "runflow_mcp":
            first = inside.partition(".")[0]
            exists = (PACKAGE / first).is_dir() or (PACKAGE / f"{first}.py").is_file()
            yield room_of(inside.replace(".", "/")) if exists else "__init__"


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def uses(path: Path) -> set[str]:
    """Every dotted name that a module reads, and every name it imports."""
    return {dotted(node) for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)} | imported(path)


def modules_that(condition: Callable[[Path], object]) -> list[str]:
    return [name_of(path) for path in modules() if condition(path)]


def imports_package(path: Path, package: str) -> bool:
    return any(is_below(name, (package,)) for name in imported(path))


def test_every_room_imports_exactly_what_is_written_down() -> None:
    found: dict[str, set[str]] = {}
    for path in modules():
        found.setdefault(room(path), set()).update(rooms_imported(path))
    below = {
        name: rooms - {name} for name, rooms in found.items() if name not in {*TOP, "__init__", "runflow/__init__"}
    }
    assert below == IMPORTS, "write a new edge into IMPORTS in this file, if it keeps the imports one-way"


def test_the_imports_have_no_cycle() -> None:
    left = {name: rooms - {"__init__"} for name, rooms in IMPORTS.items()}
    while left:
        ground = {name for name, rooms in left.items() if not rooms}
        assert ground, f"a circle among {sorted(left)}"
        left = {name: rooms - ground for name, rooms in left.items() if name not in ground}


@pytest.mark.parametrize("path", [path for path in modules() if "Pure" in docstring(path)], ids=name_of)
def test_a_module_that_calls_itself_pure_reaches_no_io(path: Path) -> None:
    assert not [name for name in reached(path) if is_below(name, IO_PACKAGES)]


@pytest.mark.parametrize("name", ["protocol", "runflow/assets", "runflow/reading", "runflow/runs"])
def test_the_core_calls_itself_pure(name: str) -> None:
    core = [path for path in modules() if room(path) == name and path.stem != "__init__"]
    assert all("Pure" in docstring(path) for path in core)


def test_aiohttp_is_known_at_the_edges_alone() -> None:
    assert not modules_that(lambda path: imports_package(path, "aiohttp") and room(path) not in HTTP_ROOMS)


def test_pillow_is_known_to_the_painting_alone() -> None:
    """It is optional: any other module that needs a picture imports one of these when it is asked for it."""
    painting = {f"sandbox/media/{name}.py" for name in PAINTING}
    assert not modules_that(lambda path: imports_package(path, "PIL") and name_of(path) not in painting)


def test_the_drawing_of_media_does_not_know_the_simulated_api() -> None:
    media = [path for path in modules() if name_of(path).startswith("sandbox/media/")]
    found = {name for path in media for name in imported(path) if name.startswith("runflow_mcp.")}
    assert media
    assert not [name for name in found if not name.startswith("runflow_mcp.sandbox.media.")]


def test_the_environment_is_read_by_one_module_alone() -> None:
    doors = ("os.environ", "os.environb", "os.getenv", "os.getenvb", "dotenv")
    assert modules_that(lambda path: any(is_below(name, doors) for name in uses(path))) == ["cli/environment.py"]


def test_time_is_read_from_the_clock_alone() -> None:
    others = [path for path in modules() if name_of(path) != "clock.py" and room(path) != "sandbox"]
    doors = {"asyncio.sleep", "datetime.now", "datetime.utcnow", "datetime.datetime.now", "date.today"}
    assert not [name_of(path) for path in others if imports_package(path, "time") or uses(path) & doors]


def test_the_key_is_revealed_to_the_upstream_client_alone() -> None:
    revealing = [
        name_of(path)
        for path in modules()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute) and node.attr == "reveal"
    ]
    assert revealing == ["runflow/api/client.py"]


def test_a_module_fits_on_a_few_screens() -> None:
    assert not modules_that(lambda path: len(path.read_text(encoding="utf-8").splitlines()) > MAX_LINES)


def test_a_module_says_what_it_is_for() -> None:
    assert not modules_that(lambda path: not docstring(path))
