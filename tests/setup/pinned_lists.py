"""Pinned requirements as data, and the requirements that a list lacks. Reads neither files nor installations."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import attrs
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

#: Name of a package → its ``Requires-Dist``, or None where it is not installed.
Metadata = Callable[[str], Sequence[str] | None]
Environment = Mapping[str, str]

SYSTEMS = ("linux", "darwin")
#: The first with needs of its own (before 3.11.3 asyncio had no working timeouts), and the newest of each.
PYTHONS = ("3.11.0", "3.11.15", "3.12.13", "3.13.12")


@attrs.frozen
class Pin:
    """One entry of a list: ``name==version``, perhaps with a marker, and the hashes of its files."""

    requirement: Requirement
    hashes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        """The one version that it allows. Raises ValueError where it allows more."""
        (only,) = self.requirement.specifier
        if only.operator != "==":
            raise ValueError(f"{self.requirement} is not pinned")
        return only.version

    def applies(self, environment: Environment) -> bool:
        return _applies(self.requirement, environment)


def read_list(text: str) -> list[Pin]:
    """The entries of a requirements file as ``make lock`` writes it."""
    lines = text.replace("\\\n", " ").splitlines()
    entries = [line.split(" --hash=") for line in lines if line.strip() and not line.startswith(("#", "-"))]
    return [Pin(Requirement(entry.strip()), tuple(digest.strip() for digest in hashes)) for entry, *hashes in entries]


def environments() -> Iterator[dict[str, str]]:
    """The machines that every list must suffice for."""
    for system in SYSTEMS:
        for version in PYTHONS:
            yield {
                **{name: str(value) for name, value in default_environment().items()},
                "implementation_name": "cpython",
                "implementation_version": version,
                "os_name": "posix",
                "platform_python_implementation": "CPython",
                "platform_system": system.capitalize(),
                "python_full_version": version,
                "python_version": version.rpartition(".")[0],
                "sys_platform": system,
            }


def missing(
    pins: Sequence[Pin], roots: Sequence[Requirement], metadata: Metadata, environment: Environment
) -> list[str]:
    """What ``roots`` and the pinned packages need in this environment and the list does not have, a line each.

    Packages that are not installed here (they are for another system) can say nothing of their own needs.
    """
    here = frozenset(environment.items())
    pinned = {pin.name: pin for pin in pins if pin.applies(environment)}
    found: list[str] = []
    seen: set[tuple[str, str]] = set()
    waiting = [("the project", root) for root in roots if _applies(root, environment)]
    waiting += [("the list", pin.requirement) for pin in pinned.values()]
    while waiting:
        by, need = waiting.pop()
        name = canonicalize_name(need.name)
        pin = pinned.get(name)
        if pin is None:
            found.append(f"{by} needs {need}, which is not in the list")
            continue
        if not _allows(need, pin.version):
            found.append(f"{by} needs {need}, and the list has {pin.version}")
        for extra in {"", *need.extras}:
            if (name, extra) not in seen:
                seen.add((name, extra))
                waiting += [(name, need) for need in _needs(tuple(metadata(name) or ()), extra, here)]
    return found


# A list is judged once for each of its lines and each environment, and most of the answers are the same.


@cache
def _needs(requires: tuple[str, ...], extra: str, environment: frozenset[tuple[str, str]]) -> list[Requirement]:
    """What a package needs for an extra; for itself with the empty one."""
    given = {**dict(environment), "extra": extra}
    return [need for need in map(_parsed, requires) if _applies(need, given)]


@cache
def _allows(requirement: Requirement, version: str) -> bool:
    return requirement.specifier.contains(version, prereleases=True)


def _applies(requirement: Requirement, environment: Environment) -> bool:
    given: dict[str, Any] = {"extra": "", **environment}
    return requirement.marker is None or requirement.marker.evaluate(given)


@cache
def _parsed(text: str) -> Requirement:
    return Requirement(text)
