"""The wheel and the source distribution contain every file that the package reads, and the licence."""

import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from flit_core import buildapi  # type: ignore[import-untyped]

from tests.setup.fresh_machine import ROOT

#: What is not Python: scripts, documents and data that are read at run time, the type marker, the licence.
DATA = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "runflow_mcp").rglob("*")
    if path.is_file() and path.suffix not in (".py", ".pyc")
)


@pytest.fixture(autouse=True)
def _project_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture
def wheel(tmp_path: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(tmp_path / buildapi.build_wheel(str(tmp_path)))


def test_the_package_has_licence_type_marker_and_data_files() -> None:
    assert {"runflow_mcp/LICENSE", "runflow_mcp/py.typed"} <= set(DATA)
    assert {Path(path).suffix for path in DATA} >= {".lua", ".md", ".json"}


def test_the_wheel_has_every_data_file(wheel: zipfile.ZipFile) -> None:
    assert set(DATA) <= set(wheel.namelist())


def test_the_source_distribution_has_every_data_file(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / buildapi.build_sdist(str(tmp_path))) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert set(DATA) <= names


def test_the_metadata_name_the_licence_and_its_file(wheel: zipfile.ZipFile) -> None:
    [path] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = Parser().parsestr(wheel.read(path).decode())
    assert metadata["License-Expression"] == "MIT"
    assert metadata.get_all("License-File") == ["runflow_mcp/LICENSE"]
    assert f"{path.rpartition('/')[0]}/licenses/runflow_mcp/LICENSE" in wheel.namelist()
