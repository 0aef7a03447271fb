"""When `make sanitize` needs an index of packages."""

import os
import shutil
import subprocess
from pathlib import Path

HOME = Path(__file__).resolve().parents[1]
STAMPS = ".venv/installed", ".venv/installed-dev"


def steps(tree: Path, newest: str) -> str:
    """What it would do where this one has changed since all was installed."""
    sources = "pyproject.toml", "setup.py", "proxy/__init__.py", "proxy/datapath/native/relay.c"
    for age, name in enumerate((*sources, *STAMPS, newest)):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).touch()
        os.utime(tree / name, (age, age))
    shutil.copy(HOME / "Makefile", tree)
    done = subprocess.run(["make", "-n", "sanitize"], cwd=tree, capture_output=True, text=True, check=True)
    return done.stdout


def test_sources_of_the_native_relay_are_newer(tmp_path: Path) -> None:
    """It builds them by itself, and does so without a network."""
    told = steps(tmp_path, "proxy/datapath/native/relay.c")

    assert "pip" not in told
    assert "tests/datapath/native/sanitize" in told


def test_what_it_depends_on_is_newer(tmp_path: Path) -> None:
    """Then that is installed first, as for the tests."""
    assert "pip --disable-pip-version-check -qq install --group dev" in steps(tmp_path, "pyproject.toml")
