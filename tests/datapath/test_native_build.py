"""What pip does with the native relay: builds it from a source distribution, or does without."""

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

HOME = Path(__file__).resolve().parents[2]
SOURCES = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "proxy")
BUILT = "proxy/datapath/native/_relay."

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("gcc") is None, reason="wants: sudo apt-get install gcc python3-dev"),
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source distribution of a clean checkout, unpacked."""
    checkout, unpacked = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("unpacked")
    built = shutil.ignore_patterns("*.so", "_relay.c", "__pycache__")
    for name in SOURCES:
        if (HOME / name).is_dir():
            shutil.copytree(HOME / name, checkout / name, ignore=built)
        else:
            shutil.copy(HOME / name, checkout / name)
    _backend("build_sdist", checkout)
    (archive,) = (checkout / "dist").iterdir()
    with tarfile.open(archive) as tar:
        tar.extractall(unpacked, filter="data")
    (folder,) = unpacked.iterdir()
    return folder


def _backend(what: str, folder: Path, **environment: str) -> None:
    """As pip calls it, but with what is installed here instead of an environment of its own."""
    call = f"from setuptools import build_meta; build_meta.{what}('dist')"
    done = subprocess.run(
        [sys.executable, "-c", call], cwd=folder, env=environment or None, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _wheel(source: Path, folder: Path, **environment: str) -> list[str]:
    """The names in the wheel that is made of `source`."""
    shutil.copytree(source, folder, dirs_exist_ok=True)
    _backend("build_wheel", folder, **environment)
    (wheel,) = (folder / "dist").glob("*.whl")
    return ZipFile(wheel).namelist()


def test_from_a_source_distribution(source: Path, tmp_path: Path) -> None:
    """It holds all that the engine is made of; the wheel the engine and its types, but no source."""
    names = _wheel(source, tmp_path)

    native = {name for name in names if name.startswith("proxy/datapath/native/")}
    assert {name.rpartition(".")[2] for name in native} == {"py", "pyi", "so"}
    assert len(native) == 3


def test_without_a_compiler(source: Path, tmp_path: Path) -> None:
    """All the rest is there."""
    names = _wheel(source, tmp_path, CC="/nonexistent/cc", PATH="/nonexistent")

    assert "proxy/datapath/relay_asyncio.py" in names
    assert "proxy/datapath/native/_relay.pyi" in names
    assert not [name for name in names if name.endswith(".so")]
