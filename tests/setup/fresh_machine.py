"""A fresh machine: a clone in its own folder, and a package index with newer releases than the pinned ones.

The index has a wheel of every pinned release, and a newer one. The wheels declare the real dependencies but contain
nothing, except for the build backend; the clone's lists have their hashes.
"""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Container, Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path

import attrs
from packaging.markers import default_environment

from tests.setup.pinned_lists import Pin, read_list

ROOT = Path(__file__).parents[2]
CLONED = ("Makefile", "pyproject.toml", "README.md", "runflow_mcp", "deploy", "tests/requirements.txt")
LISTS = ("deploy/requirements.txt", "tests/requirements.txt")
BACKEND = "flit-core"
HERE = {name: str(value) for name, value in default_environment().items()}
#: Where the tests' own pip is.
OWN_PACKAGES = Path(sysconfig.get_path("purelib"))
#: The release that everything has beside the pinned one.
NEWER = "99999.0"
#: On a loaded machine; making a .venv and installing a hundred packages takes a few.
STEP_SECONDS = 300


@attrs.frozen
class Index:
    """A folder with one for each package, as https://peps.python.org/pep-0503/ has it, which holds its wheels.

    ``hashes``: package → SHA-256 of the pinned release's.
    """

    folder: Path
    hashes: dict[str, str]

    @classmethod
    def make(cls, folder: Path) -> "Index":
        pins = {pin.name: pin for name in LISTS for pin in read_list((ROOT / name).read_text())}
        for pin in pins.values():
            _wheel(folder, pin, NEWER)
        return cls(folder, {name: _wheel(folder, pin, pin.version) for name, pin in pins.items()})


@attrs.frozen
class Machine:
    """``clone`` is the working folder of everything that runs here."""

    clone: Path
    index: Path

    @classmethod
    def make(cls, folder: Path, index: Index, packages: Container[str] | None = None) -> "Machine":
        """``packages``: those that the clone's lists have, None for all."""
        machine = cls(folder / "a clone", index.folder)
        for name in CLONED:
            (machine.clone / name).parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, machine.clone / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, machine.clone / name)
        for name in LISTS:
            entries = read_list((ROOT / name).read_text())
            if packages is not None:
                entries = [pin for pin in entries if pin.name in packages]
            lines = [f"{pin.requirement} --hash=sha256:{index.hashes[pin.name]}\n" for pin in entries]
            (machine.clone / name).write_text("".join(lines))
        return machine

    def run(self, *command: str, user: int | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, with this index alone and nothing of the tests' own environment."""
        given = {
            "PATH": os.defpath,
            "HOME": "",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": self.index.as_uri(),
            "PIP_NO_CACHE_DIR": "1",
        }
        return subprocess.run(  # noqa: S603 - commands of the tests and of our own documents
            command,
            cwd=self.clone,
            env={**given, **environ},
            user=user,
            capture_output=True,
            text=True,
            timeout=STEP_SECONDS,
            check=False,
        )

    def make_(self, *targets: str, python: str = sys.executable, **environ: str) -> subprocess.CompletedProcess[str]:
        return self.run("make", f"PYTHON={python}", *targets, user=None, **environ)

    def bring_pip(self, packages: Path = OWN_PACKAGES) -> None:
        """Make the .venv, with the pip of this folder in the place of the one that comes with Python."""
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", ".venv"], cwd=self.clone, check=True)
        _copy_pip(packages, self.clone / ".venv")

    def quick_python(self) -> str:
        """A Python whose ``-m venv`` copies a pip instead of unpacking and compiling its own, which takes seconds."""
        python = self.clone.parent / "quick-python"
        module = f'PYTHONPATH="{ROOT}" exec "{sys.executable}" -m tests.setup.fresh_machine'
        python.write_text(f'#!/bin/sh\n[ "$1 $2" = "-m venv" ] && {module} "$@"\nexec "{sys.executable}" "$@"\n')
        python.chmod(0o755)
        return str(python)

    def site(self) -> Path:
        """Where the packages of the .venv are."""
        (site,) = (self.clone / ".venv").glob("lib/python*/site-packages")
        return site

    def pinned(self, name: str) -> dict[str, str]:
        """Name → version of what a list of the clone must bring here."""
        pins = read_list((self.clone / name).read_text())
        return {pin.name: pin.version for pin in pins if pin.applies(HERE)}

    def installed(self) -> dict[str, str]:
        """Name → version of what was installed there."""
        return {package.name: package.version for package in distributions(path=[str(self.site())])}


def _copy_pip(packages: Path, environment: Path) -> None:
    (site,) = environment.glob("lib/python*/site-packages")
    for folder in packages.glob("pip*"):
        if folder.is_dir():
            shutil.copytree(folder, site / folder.name)
    pip = environment / "bin/pip"
    pip.write_text('#!/bin/sh\nexec "${0%/*}/python" -m pip "$@"\n')
    pip.chmod(0o755)


def _wheel(folder: Path, pin: Pin, version: str) -> str:
    """Write a wheel of this release; its SHA-256."""
    try:
        real = distribution(pin.name)
    except PackageNotFoundError:  # it is for another system, or another Python
        real = None
    name = pin.name.replace("-", "_")
    about = f"{name}-{version}.dist-info"
    needs = [f"Requires-Dist: {line}\n" for line in (real.requires or [] if real else [])]
    extras = [f"Provides-Extra: {extra}\n" for extra in (real.metadata.get_all("Provides-Extra") or [] if real else [])]
    files = {
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{''.join(extras + needs)}",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if real and pin.name == BACKEND:
        files |= dict(_modules(real))
    record = [f"{path},sha256={_digest(text)},{len(text.encode())}\n" for path, text in files.items()]
    path = folder / pin.name / f"{name}-{version}-py3-none-any.whl"
    path.parent.mkdir(exist_ok=True)
    with (path.parent / "index.html").open("a") as page:
        page.write(f'<a href="{path.name}">{path.name}</a>\n')
    with zipfile.ZipFile(path, "w") as wheel:
        for member, text in {**files, f"{about}/RECORD": f"{''.join(record)}{about}/RECORD,,\n"}.items():
            wheel.writestr(member, text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _modules(real: Distribution) -> Iterable[tuple[str, str]]:
    for file in real.files or []:
        if file.suffix == ".py":
            yield file.as_posix(), file.read_text()


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


if __name__ == "__main__":
    # What ``quick_python`` runs for ``-m venv [options] <folder>``.
    subprocess.run([sys.executable, *sys.argv[1:-1], "--without-pip", sys.argv[-1]], check=True)  # noqa: S603
    _copy_pip(OWN_PACKAGES, Path(sys.argv[-1]))
