"""The shape of the package: imports run one way, and time, environment and HTTP come in by one door each."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import runflow_mcp

ROOT = Path(runflow_mcp.__file__).parent
MAX_LINES = 350

#: layer → the layers it may import besides itself. A module at the top level is a layer of its own name.
ALLOWED: dict[str, set[str]] = {
    "jsontypes": set(),
    "names": set(),
    "clock": set(),
    "setting_values": set(),
    "store_url": set(),
    "egress": set(),
    "config": {"setting_values", "store_url", "egress"},
    "config_warnings": {"setting_values", "config"},
    "open_files": set(),
    "bounds": set(),
    "lenient_json": {"jsontypes"},
    "errors": {"jsontypes", "bounds"},
    "key_mistakes": set(),
    "credentials": {"errors", "key_mistakes"},
    "protocol": {"__init__", "jsontypes", "bounds", "lenient_json", "errors"},
    "runflow": {
        "__init__",
        "egress",
        "jsontypes",
        "bounds",
        "lenient_json",
        "names",
        "clock",
        "errors",
        "credentials",
        "observability",
    },
    "ratelimit": {
        "jsontypes",
        "clock",
        "setting_values",
        "config",
        "errors",
        "credentials",
        "observability",
    },
    "observability": {"__init__", "jsontypes", "clock", "config", "errors", "credentials"},
    "methods": {
        "__init__",
        "jsontypes",
        "lenient_json",
        "bounds",
        "names",
        "clock",
        "config",
        "errors",
        "credentials",
        "observability",
        "protocol",
        "runflow",
    },
    "web": {
        "__init__",
        "jsontypes",
        "bounds",
        "names",
        "clock",
        "setting_values",
        "config",
        "errors",
        "credentials",
        "observability",
        "protocol",
        "ratelimit",
        "methods",
        "runflow",
    },
    # The simulated upstream knows nothing of what it is there to test.
    "sandbox": {"clock"},
}
#: Where everything is put together; nothing else may import these.
TOP = {
    "app",
    "server",
    "cli",
    "check",
    "check_errors",
    "command_line",
    "settings_report",
    "terminal",
    "welcome",
    "__main__",
}
PURE = {
    "jsontypes",
    "bounds",
    "key_mistakes",
    "lenient_json",
    "names",
    "config",
    "config_warnings",
    "errors",
    "credentials",
    "protocol",
}
IO_PACKAGES = {"aiohttp", "asyncio", "socket", "ssl", "uvloop", "redis", "http", "requests", "httpx"}
PAINTING = {"brush", "caption", "landmarks", "media", "painting"}
HTTP_CLIENT_LAYERS = {"runflow", "web", "sandbox", *TOP}


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def layer_of(path: Path) -> str:
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


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


def layers_imported(path: Path) -> set[str]:
    found = set()
    for name in imported(path):
        package, *rest = name.split(".")
        if package == "runflow_mcp":
            inside = bool(rest) and ((ROOT / rest[0]).is_dir() or (ROOT / f"{rest[0]}.py").is_file())
            found.add(rest[0] if inside else "__init__")
    return found


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def uses(path: Path) -> set[str]:
    """Every dotted name that a module reads, and every name it imports."""
    return {dotted(node) for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)} | set(imported(path))


each_module = pytest.mark.parametrize("path", modules(), ids=name_of)


@each_module
def test_imports_run_one_way(path: Path) -> None:
    layer = layer_of(path)
    if layer in TOP or layer == "__init__":
        return
    assert layer in ALLOWED, f"say in this test where {layer} stands"
    assert layers_imported(path) - {layer} <= ALLOWED[layer]


def test_the_allowed_imports_have_no_circle() -> None:
    left = {layer: set(below) - {"__init__"} for layer, below in ALLOWED.items()}
    while left:
        ground = {layer for layer, below in left.items() if not below}
        assert ground, f"a circle among {sorted(left)}"
        left = {layer: below - ground for layer, below in left.items() if layer not in ground}


@each_module
def test_the_pure_part_knows_no_network(path: Path) -> None:
    if layer_of(path) in PURE:
        assert not {name.partition(".")[0] for name in imported(path)} & IO_PACKAGES


@each_module
def test_aiohttp_is_known_at_the_edges_alone(path: Path) -> None:
    if any(name.partition(".")[0] == "aiohttp" for name in imported(path)):
        assert layer_of(path) in HTTP_CLIENT_LAYERS


@each_module
def test_pillow_is_known_to_the_painting_alone(path: Path) -> None:
    """It is optional: whoever else needs a picture imports one of these when it is asked for."""
    if any(name.partition(".")[0] == "PIL" for name in imported(path)):
        assert name_of(path) in {f"sandbox/{name}.py" for name in PAINTING}


@each_module
def test_the_environment_is_read_by_the_command_line_alone(path: Path) -> None:
    doors = {"os.environ", "os.environb", "os.getenv", "os.getenvb", "dotenv"}
    if name_of(path) != "cli.py":
        assert not [name for name in uses(path) if any(f"{name}.".startswith(f"{door}.") for door in doors)]


@each_module
def test_time_is_read_from_the_clock_alone(path: Path) -> None:
    if name_of(path) == "clock.py" or layer_of(path) == "sandbox":
        return
    read = uses(path)
    assert "time" not in {name.partition(".")[0] for name in imported(path)}
    assert not read & {"asyncio.sleep", "datetime.now", "datetime.utcnow", "datetime.datetime.now", "date.today"}


@each_module
def test_the_key_is_revealed_to_the_upstream_client_alone(path: Path) -> None:
    revealed = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute) and node.attr == "reveal"]
    assert len(revealed) == (name_of(path) == "runflow/client.py")


@each_module
def test_a_module_fits_on_a_few_screens(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


@each_module
def test_a_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(tree(path))
