"""What is in the image, and what is not."""

import zlib
from datetime import datetime

import docker
import pytest

import proxy
from tests.containers.scene import Application, execute, log_of, status

pytestmark = [pytest.mark.docker, pytest.mark.slow]
COMPRESSED_AT_MOST = 80e6
ABSENT = (
    "import importlib.util as u, os, shutil; "
    "print([m for m in ('pip', 'ensurepip') if u.find_spec(m)], "
    "[p for p in ('pip', 'pip3', 'gcc', 'cc', 'c++', 'ld', 'as', 'make') if shutil.which(p)], "
    "[p for p in os.listdir('/headway/bin') if p.rstrip('.0123456789') not in ('headway', 'python')])"
)
# What a sidecar runs and what the image's health check does, and the modules that were compiled for that.
SIDECAR = """
import proxy.app, proxy.datapath.hash_key, proxy.datapath.proxy_header, proxy.datapath.relay_native
from proxy.policy.pickers import PICKERS, algorithm
[*map(algorithm, PICKERS)]"""
HEALTH_CHECK = """
exec(open("/headway/healthcheck.py").read(), {"__name__": "healthcheck"})"""
COMPILED_NOW = """
import os, sys
kept = {name: getattr(module, "__cached__", None) for name, module in sys.modules.items()}
print([name for name, path in kept.items() if path and not os.path.exists(path)])"""
IDLE_AT_MOST_MIB = 44.0


def test_it_says_what_it_is(client: docker.DockerClient, image: str) -> None:
    about = client.images.get(image).attrs["Config"]

    assert about["User"] == "65532:65532"
    assert about["Entrypoint"] == ["python", "-m", "proxy"]
    assert about["Healthcheck"]["Test"][:2] == ["CMD", "python"]  # not CMD-SHELL
    assert "PYTHONOPTIMIZE=2" in about["Env"]
    labels = {
        name.removeprefix("org.opencontainers.image."): value for name, value in about["Labels"].items()
    }
    assert labels["version"] == proxy.__version__
    assert labels["licenses"] == "Apache-2.0"
    assert len(labels["revision"]) == 40
    assert datetime.fromisoformat(labels["created"]).year >= 2026


def test_nothing_in_it_installs_or_compiles(onlooker: Application) -> None:
    for python in ("/headway/bin/python", "/proc/1/exe"):
        assert execute(onlooker.sidecar, python, "-c", ABSENT).strip() == "[] [] []"


def test_it_needs_no_shell(onlooker: Application) -> None:
    """There is none in the image of all these tests, which was built without one, too."""
    assert onlooker.sidecar.exec_run(["sh", "-c", "true"])[0] != 0


def test_all_that_runs_is_compiled(client: docker.DockerClient, image: str, onlooker: Application) -> None:
    """Where nothing can be written, each start and each health check would compile it again."""
    health_check = client.images.get(image).attrs["Config"]["Healthcheck"]["Test"][1:-1]
    for python, runs in ((["python"], SIDECAR), (health_check, HEALTH_CHECK)):
        assert execute(onlooker.sidecar, *python, "-c", runs + COMPILED_NOW).strip() == "[]"


def test_help_is_whole(onlooker: Application) -> None:
    """Though docstrings are left out: what a command does, and each option."""
    assert "Show why the last connections went where they went." in onlooker.headway("--help")
    words = " ".join(onlooker.headway("inject", "--help").replace("│", " ").split())
    assert "A second run changes nothing" in words
    assert "a Job does not end by itself" in words


def test_it_takes_little_memory(onlooker: Application, capsys: pytest.CaptureFixture[str]) -> None:
    status_of_1 = execute(onlooker.sidecar, "python", "-c", "print(open('/proc/1/status').read())")
    resident_mib = int(status_of_1.partition("VmRSS:")[2].split()[0]) / 1024
    with capsys.disabled():
        print(f"\nidle: {resident_mib:.1f} MiB resident")

    assert resident_mib <= IDLE_AT_MOST_MIB


def test_it_is_small(
    client: docker.DockerClient, image: str, base: str, capsys: pytest.CaptureFixture[str]
) -> None:
    gzip = zlib.compressobj(level=1, wbits=31)  # what registries get is smaller by a tenth, and takes longer
    size = sum(len(gzip.compress(chunk)) for chunk in client.images.get(image).save()) + len(gzip.flush())
    with capsys.disabled():
        print(f"\nimage: {size / 1e6:.1f} MB compressed, on {base}")

    assert size < COMPRESSED_AT_MOST


def test_start_to_ready(onlooker: Application, capsys: pytest.CaptureFixture[str]) -> None:
    """By the engine's own clock, from the start of the process to its first endpoint."""
    line = next(line for line in log_of(onlooker.sidecar, timestamps=True).splitlines() if "added" in line)
    took = datetime.fromisoformat(line[:26] + "+00:00") - datetime.fromisoformat(
        status(onlooker.sidecar)["StartedAt"][:26] + "+00:00"
    )
    with capsys.disabled():
        print(f"\nstart: {took.total_seconds():.2f} s from the start of the container to its endpoints")

    assert took.total_seconds() > 0
