"""The set-up on a fresh machine, by the commands of the Makefile and the documents, with old and new pips."""

import json
import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from tests.clients.peer_programs import python_peer
from tests.setup.fresh_machine import BACKEND, LISTS, ROOT, Index, Machine

PEERS = Path(__file__).parent / "peers"
NOBODY = 65534

pytestmark = pytest.mark.real_time


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return Index.make(tmp_path_factory.mktemp("index"))


@pytest.fixture
def machine(tmp_path: Path, index: Index) -> Machine:
    return Machine.make(tmp_path, index)


@pytest.fixture
def small(tmp_path: Path, index: Index) -> Machine:
    """One whose lists have few packages, for what is not about them."""
    return Machine.make(tmp_path, index, {BACKEND, "attrs", "multidict"})


def canonical(installed: dict[str, str]) -> dict[str, str]:
    """What was installed, without what every .venv begins with."""
    names = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in installed.items()}
    return {name: version for name, version in names.items() if name not in ("pip", "setuptools", "runflow-mcp")}


# With an index that has newer releases of everything.


@pytest.mark.parametrize(
    ("pip", "target", "last"),
    [
        ("python's own", "install", "tests"),
        # One rule installs both lists, and the larger one takes long.
        ("pip_newest", ".venv/runtime", "deploy"),
        ("pip_oldest", ".venv/runtime", "deploy"),
    ],
)
def test_make_installs_the_pinned_packages_alone(machine: Machine, pip: str, target: str, last: str) -> None:
    if pip == "pip_oldest" and sys.version_info >= (3, 12):
        pytest.skip("the pip of Python 3.11.0 does not run on 3.12")
    if pip != "python's own":
        machine.bring_pip(python_peer(pip, PEERS))
    ended = machine.make_(target)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert "runflow-mcp" in "".join(machine.installed()).replace("_", "-")
    assert canonical(machine.installed()) == machine.pinned(f"{last}/requirements.txt")
    again = machine.make_(target).stdout
    assert again in ("make: Nothing to be done for 'install'.\n", "make: '.venv/runtime' is up to date.\n")


def test_make_compiles_the_server_also_where_a_shell_forbids_it(machine: Machine) -> None:
    """Otherwise every start would compile it, which takes as long as the rest of the start."""
    machine.bring_pip()
    ended = machine.make_(".venv/runtime", PYTHONDONTWRITEBYTECODE="1")
    assert ended.returncode == 0, ended.stderr
    sources = {path.stem for path in (machine.clone / "runflow_mcp/web").glob("*.py")}
    compiled = {path.name.partition(".")[0] for path in (machine.clone / "runflow_mcp/web/__pycache__").iterdir()}
    assert compiled == sources


def commands(document: str) -> list[list[str]]:
    """The commands of a document that make a virtual environment in ``.venv`` and install into it."""
    text = (ROOT / document).read_text()
    if document.endswith("Dockerfile"):
        lines = [json.loads(line.removeprefix("RUN ")) for line in text.splitlines() if line.startswith("RUN [")]
    else:
        lines = [
            shlex.split(line.strip("# ")) for line in text.splitlines() if re.search(r"-m venv |pip install ", line)
        ]
    named = [
        ["python3" if word == "python" else word for word in line] for line in lines if line[1] in ("-m", "install")
    ]
    return [[re.sub(r"^/opt/runflow-mcp", ".venv", word) for word in line] for line in named]


@pytest.mark.parametrize("document", ["deploy/docker/Dockerfile", "deploy/README.md"])
def test_the_commands_of_a_document_install_the_pinned_packages_alone(machine: Machine, document: str) -> None:
    python = machine.quick_python()
    for command in commands(document):
        ended = machine.run(*(python if word == "python3" else word for word in command))
        assert ended.returncode == 0, ended.stderr
    assert canonical(machine.installed()) == machine.pinned("deploy/requirements.txt")
    assert (machine.clone / ".venv/bin/runflow-mcp").is_file()


def test_the_unit_of_systemd_is_set_up_with_the_commands_of_the_image() -> None:
    assert commands("deploy/systemd/runflow-mcp@.service") == commands("deploy/docker/Dockerfile")


def test_a_package_with_another_hash_is_refused(small: Machine) -> None:
    path = small.clone / LISTS[0]
    path.write_text(re.sub(r"sha256:.", "sha256:0", path.read_text()))
    small.bring_pip()
    ended = small.make_(".venv/runtime")
    assert ended.returncode != 0
    assert "DO NOT MATCH THE HASHES" in ended.stderr


# What is missing is named, and leaves nothing behind.


def error_line(ended: object) -> str:
    """The one line on stderr before make's own."""
    lines = getattr(ended, "stderr", "").splitlines()
    assert len(lines) == 2, lines
    assert lines[1].startswith("make: *** [")
    return str(lines[0])


def sitecustomize(machine: Machine, **modules: str) -> str:
    """A PYTHONPATH with these modules."""
    folder = machine.clone.parent / "python"
    folder.mkdir()
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    return str(folder)


def test_a_missing_python_is_explained_and_leaves_nothing_behind(machine: Machine) -> None:
    assert error_line(machine.make_("run", python="/no/such/python")).startswith("Python 3.11 or newer is needed.")
    assert not (machine.clone / ".venv").exists()


def test_an_old_python_is_explained_and_leaves_nothing_behind(machine: Machine) -> None:
    old = sitecustomize(machine, sitecustomize="import sys; sys.version_info = (3, 10, 12, 'final', 0)")
    assert error_line(machine.make_("run", PYTHONPATH=old)).startswith("Python 3.11 or newer is needed.")
    assert not (machine.clone / ".venv").exists()


def test_a_missing_python3_venv_and_a_missing_network_are_explained_and_can_be_mended(small: Machine) -> None:
    """Its Python has no ensurepip; after the apt install that the message names, the same command works."""
    without = sitecustomize(small, ensurepip="raise ImportError")
    python = small.quick_python()
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    assert error_line(small.make_(".venv/runtime", PYTHONPATH=without)).endswith(f" apt install {package}")
    assert not (small.clone / ".venv").exists()
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0"}
    assert error_line(small.make_(".venv/runtime", python=python, **nowhere)).startswith(
        "No package index answers. Check the network"
    )
    assert small.make_(".venv/runtime", python=python).returncode == 0
    assert canonical(small.installed()) == small.pinned("deploy/requirements.txt") != {}


def test_a_half_made_venv_is_removed_and_explained(machine: Machine) -> None:
    half = machine.clone / ".venv/bin"
    python = machine.clone / "python"
    making = f'[ "$2" = venv ] && mkdir -p "{half}" && ln -s /bin/sh "{half}/python" && exit 1'
    python.write_text(f'#!/bin/sh\n{making}\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    assert " apt install python3" in error_line(machine.make_("install", python="./python"))
    assert not (machine.clone / ".venv").exists()


@pytest.mark.parametrize("left", ["a Python without pip", "a Python that has gone"])
def test_an_unusable_venv_is_made_again(small: Machine, left: str) -> None:
    small.bring_pip()
    if left == "a Python without pip":
        shutil.rmtree(small.site() / "pip")
    else:
        python = small.clone / ".venv/bin/python"
        python.unlink()
        python.symlink_to("/no/such/python")
    (small.clone / ".venv/runtime").touch()
    assert small.make_(".venv/runtime", python=small.quick_python()).returncode == 0
    assert canonical(small.installed()) == small.pinned("deploy/requirements.txt")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as somebody else")
def test_a_clone_of_another_user_is_explained(machine: Machine) -> None:
    shared = machine.clone.parent
    for folder in (shared, *shared.parents[:2]):
        folder.chmod(0o755)
    ended = machine.run("make", "run", f"PYTHON={sys.executable}", user=NOBODY)
    assert error_line(ended) == "This folder belongs to another user. Work in a clone of your own."
