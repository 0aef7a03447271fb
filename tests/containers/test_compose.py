"""deploy/compose.yaml does what its first lines promise."""

import os
import secrets
import shutil
import subprocess
from functools import partial

import docker
import pytest

from tests.containers.engine import cannot
from tests.containers.images import HOME
from tests.containers.waiting import until

pytestmark = [pytest.mark.docker, pytest.mark.slow]


def compose() -> list[str]:
    """The command, as plugin or as a program of its own."""
    if (
        shutil.which("docker")
        and not subprocess.run(["docker", "compose", "version"], capture_output=True).returncode
    ):
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    cannot("there is no Docker Compose: sudo apt-get install docker-compose")


def test_five_pods_then_two(client: docker.DockerClient, image: str) -> None:
    """The application's log names all five; three leave and no request fails."""
    command = [*compose(), "--project-name", f"headwaytest{secrets.token_hex(4)}"]
    run = partial(
        subprocess.run,
        cwd=HOME / "deploy",
        env=os.environ | {"IMAGE": image},
        capture_output=True,
        text=True,
        timeout=120,
    )

    def says(*arguments: str) -> str:
        done = run([*command, *arguments])
        assert not done.returncode, done.stdout + done.stderr
        return str(done.stdout)

    def answers() -> list[str]:
        return [
            line.partition("|")[2] for line in says("logs", "--no-color", "app").splitlines() if "|" in line
        ]

    try:
        says("up", "--detach", "--no-build", "--scale", "orders=5")
        assert until(lambda: len({line.split()[0] for line in answers()}) == 5, 60.0), answers()
        shown = says("exec", "-T", "headway", "python", "-m", "proxy", "endpoints")
        assert shown.count(" ready ") == 5

        says("up", "--detach", "--no-build", "--no-recreate", "--scale", "orders=2")
        heard = len(answers())
        assert until(lambda: len(answers()) > heard + 10, 60.0)
        assert not [line for line in answers() if "failed" in line]
    finally:
        run([*command, "down", "--volumes", "--timeout", "0"])
