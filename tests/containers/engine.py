"""Finds a container engine, or starts one that ends with the tests."""

import gc
import os
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import NoReturn

import docker
import pytest
from docker.errors import DockerException

from tests.containers.waiting import until

ANSWERS_WITHIN_S = 120.0
WANTS = "sudo apt-get install docker.io debootstrap"


def cannot(why: str) -> NoReturn:
    """Without containers there is nothing to test; that is a fault only where everything should be there."""
    if os.environ.get("CONTAINER_TESTS") == "required":
        pytest.fail(f"the container tests are required, but {why}")
    pytest.skip(why)


@contextmanager
def engine() -> Iterator[docker.DockerClient]:
    """A client of the engine that runs here, or of one that runs until the block ends."""
    with _started_if_missing():
        client = docker.from_env(timeout=int(ANSWERS_WITHIN_S))
        try:
            yield client
        finally:
            client.close()


@contextmanager
def _started_if_missing() -> Iterator[None]:
    if _answers():
        yield
        return
    dockerd = shutil.which("dockerd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if os.geteuid() or dockerd is None or "DOCKER_HOST" in os.environ:
        cannot(f"no container engine answers, and only root can start one: {WANTS}")
    with TemporaryFile() as log, subprocess.Popen([dockerd], stdout=log, stderr=log) as process:
        try:
            if (
                not until(lambda: process.poll() is not None or _answers(), 30.0)
                or process.poll() is not None
            ):
                log.seek(0)
                cannot(f"dockerd did not start: {log.read()[-1000:].decode(errors='replace')}")
            yield
        finally:
            process.terminate()


def _answers() -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # where nobody answers, the SDK forgets its socket
        try:
            docker.from_env(timeout=5).close()  # it asks for the version
            return True
        except DockerException:
            return False
        finally:
            gc.collect()
