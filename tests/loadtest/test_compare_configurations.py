"""What the others are configured with: they themselves have to accept it."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from loadtest.compare import configurations, subjects
from loadtest.compare.configurations import Job
from loadtest.compare.subjects import Missing
from proxy.model import Address

PODS = tuple(Address(f"127.0.0.{11 + number}", 8080) for number in range(4))


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(port=23456, pods=PODS, descriptors=4000, directory=tmp_path)


@pytest.mark.parametrize(
    ("configuration", "pod"),
    [
        (configurations.haproxy, "127.0.0.14:8080"),
        (configurations.nginx, "127.0.0.14:8080"),
        (configurations.envoy, '"127.0.0.14"'),
    ],
)
def test_all_have_the_same_pods_and_room(configuration: Callable[[Job], str], pod: str, job: Job) -> None:
    """Every pod is named once, and the port to listen on."""
    text = configuration(job)

    assert text.count("127.0.0.1") == 1 + len(PODS)  # the prefix of the pods' addresses too
    assert pod in text and str(job.port) in text


def test_envoy_may_have_as_many_connections_as_the_others(job: Job) -> None:
    """By itself it would refuse the 1,025th."""
    cluster = json.loads(configurations.envoy(job))["static_resources"]["clusters"][0]

    assert cluster["circuit_breakers"]["thresholds"][0]["max_connections"] == job.connections


def accepts(find: Callable[[], str], *arguments: str) -> None:
    try:
        program = find()
    except Missing as why:
        pytest.skip(str(why))
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=30, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_haproxy_accepts_its_configuration(job: Job) -> None:
    path = job.directory / "haproxy.cfg"
    path.write_text(configurations.haproxy(job))

    accepts(subjects.haproxy_program, "-c", "-f", str(path))


def test_nginx_accepts_both_of_its_configurations(job: Job) -> None:
    for name, text in {
        "proxy.conf": configurations.nginx(job),
        "backends.conf": configurations.backends(23457, job.directory, workers=2, descriptors=4000),
    }.items():
        path = job.directory / name
        path.write_text(text)

        accepts(subjects.nginx_program, "-t", "-e", "stderr", "-c", str(path))


@pytest.mark.slow
def test_envoy_accepts_its_configuration(job: Job) -> None:
    path = job.directory / "envoy.json"
    path.write_text(configurations.envoy(job))

    accepts(subjects.envoy_program, "--mode", "validate", "--disable-hot-restart", "-c", str(path))
