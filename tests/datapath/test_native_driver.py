"""The native engine without Python, played with by tests/datapath/native/driver.c, under the sanitizers."""

import shutil
import subprocess
from pathlib import Path

import pytest

NATIVE = Path(__file__).with_name("native")
SANITIZERS = {"address": "address,undefined", "thread": "thread"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("gcc") is None, reason="wants: sudo apt-get install gcc libc6-dev"),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Where the programs are, for each of the sanitizers."""
    folders = {}
    for name, checks in SANITIZERS.items():
        folders[name] = tmp_path_factory.mktemp(name)
        run(NATIVE / "build", folders[name], "-O1", "-g", f"-fsanitize={checks}", "-fno-sanitize-recover")
    return folders


def run(*command: object) -> str:
    """What the program says; a finding of a sanitizer is a failure."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("sanitizer,sessions,spin", [("address", 1_000, 0), ("thread", 1_000, 1)])
def test_sessions_sanitized(built: dict[str, Path], sanitizer: str, sessions: int, spin: int) -> None:
    """Of 1,000 sessions of every size, end and misfortune not one byte is wrong, and nothing is left.

    `make sanitize` plays with 10,000.
    """
    said = run(built[sanitizer] / "driver", sessions, 1 + spin, 2, spin)

    assert "none wrong" in said


def test_timer_wheel_sanitized(built: dict[str, Path]) -> None:
    """A year of timers: none is late, none is looked at often, and the wheel is never turned for nobody."""
    assert "no timer late" in run(built["address"] / "wheel_check")


def test_spinning_sanitized(built: dict[str, Path]) -> None:
    """With RELAY_SPIN a thread asks again and again only where events are near, and in nobody's way."""
    assert "in nobody's way" in run(built["address"] / "wait_check")
