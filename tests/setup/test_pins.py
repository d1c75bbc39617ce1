"""The pinned lists are complete: installed without resolving, they lack nothing on any supported system."""

import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

import attrs
import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.clients.peer_programs import python_peer
from tests.setup.pinned_lists import Metadata, Pin, environments, missing, read_list

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LISTS = {"deploy": ROOT / "deploy" / "requirements.txt", "tests": ROOT / "tests" / "requirements.txt"}
PEERS = sorted(ROOT.glob("tests/*/peers/*.in"))
#: Installing those of the bench takes long, and make bench does it: a package that they lack ends it.
INSTALLED_PEERS = [path for path in PEERS if path.parts[-3] != "bench"]
LOCKS = sorted(ROOT.glob("tests/**/package-lock.json"))

pytestmark = pytest.mark.real_time


def group(name: str) -> list[str]:
    """The requirements of a dependency group, with those of the groups that it includes."""
    entries: list[Any] = PROJECT["dependency-groups"][name]
    return [
        line for entry in entries for line in (group(entry["include-group"]) if isinstance(entry, dict) else [entry])
    ]


OWN: list[str] = PROJECT["project"]["dependencies"]
EXTRAS = [line for lines in PROJECT["project"]["optional-dependencies"].values() for line in lines]
ROOTS = {"deploy": [*OWN, *EXTRAS, *PROJECT["build-system"]["requires"]], "tests": [*OWN, *EXTRAS, *group("dev")]}


@attrs.frozen
class Installed:
    """The packages in some folders of packages, whose metadata are parsed once: that takes longer than judging them."""

    found: dict[str, Distribution]
    _requires: dict[str, Sequence[str] | None] = attrs.field(factory=dict)

    @classmethod
    @cache
    def at(cls, *path: Path) -> "Installed":
        found = distributions(path=[str(folder) for folder in path]) if path else distributions()
        return cls({canonicalize_name(package.name): package for package in found})

    def requires(self, name: str) -> Sequence[str] | None:
        if name not in self._requires:
            self._requires[name] = (self.found[name].requires or []) if name in self.found else None
        return self._requires[name]

    def differences(self, pins: list[Pin]) -> list[str]:
        here = {name: str(value) for name, value in default_environment().items()}
        pinned = {pin.name: pin.version for pin in pins if pin.applies(here)}
        installed = {name: package.version for name, package in self.found.items() if name in pinned}
        return [
            f"{name}: {installed.get(name)} instead of {pinned[name]}"
            for name in pinned
            if installed.get(name) != pinned[name]
        ]


def gaps(pins: list[Pin], roots: list[str], metadata: Metadata) -> list[str]:
    """What the list lacks, in any supported environment."""
    needed = [Requirement(root) for root in roots]
    return sorted({line for environment in environments() for line in missing(pins, needed, metadata, environment)})


@pytest.mark.parametrize("name", LISTS)
def test_a_list_has_every_package_that_the_project_and_its_packages_need(name: str) -> None:
    pins = read_list(LISTS[name].read_text())
    installed = Installed.at()
    assert not installed.differences(pins), "make install brings .venv up to the lists"
    assert not gaps(pins, ROOTS[name], installed.requires), "renew the lists with: make lock"


@pytest.mark.parametrize("path", INSTALLED_PEERS, ids=lambda path: path.stem)
def test_the_list_of_a_peer_has_every_package_it_needs(path: Path) -> None:
    pins = read_list(path.with_suffix(".txt").read_text())
    installed = Installed.at(python_peer(path.stem, path.parent))
    assert not installed.differences(pins)
    needed = [line for line in path.read_text().splitlines() if not line.startswith(("#", "-"))]
    assert not gaps(pins, needed, installed.requires), "renew the lists with: make lock"


def test_the_two_lists_agree() -> None:
    runtime, tests = ({pin.name: pin.version for pin in read_list(LISTS[name].read_text())} for name in LISTS)
    assert runtime.items() <= tests.items(), "renew the lists with: make lock"


@pytest.mark.parametrize("path", [*LISTS.values(), *(path.with_suffix(".txt") for path in PEERS)], ids=str)
def test_a_list_is_pinned_hashed_and_names_no_address(path: Path) -> None:
    text = path.read_text()
    for pin in read_list(text):
        assert pin.version
        assert pin.hashes
        assert all(digest.startswith("sha256:") for digest in pin.hashes)
    assert "://" not in text


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.parent.name)
def test_a_lock_file_of_npm_has_hashes_and_no_download_address(path: Path) -> None:
    text = path.read_text()
    assert '"integrity": "sha512-' in text
    assert '"resolved"' not in text


@pytest.mark.parametrize("line", [pin.name for pin in read_list(LISTS["deploy"].read_text())])
def test_a_removed_line_is_reported_as_missing(line: str) -> None:
    pins = [pin for pin in read_list(LISTS["deploy"].read_text()) if pin.name != line]
    assert [gap for gap in gaps(pins, ROOTS["deploy"], Installed.at().requires) if "not in the list" in gap]


@pytest.mark.parametrize("line", ["email-validator", "dnspython", "importlib-metadata", "secretstorage", "ruff"])
def test_a_removed_line_that_only_an_extra_python_or_system_needs_is_reported_too(line: str) -> None:
    pins = [pin for pin in read_list(LISTS["tests"].read_text()) if pin.name != line]
    assert [gap for gap in gaps(pins, ROOTS["tests"], Installed.at().requires) if "not in the list" in gap]


def test_a_version_that_is_too_old_is_reported() -> None:
    pins = read_list(LISTS["tests"].read_text().replace("email-validator==2", "email-validator==1"))
    [gap] = gaps(pins, ROOTS["tests"], Installed.at().requires)
    assert gap.startswith("pydantic needs email-validator>=2")
