"""What is in the image, and what is not."""

import secrets
import zlib
from collections.abc import Iterator
from datetime import datetime

import docker
import pytest

import proxy
from tests.containers import images
from tests.containers.scene import Application, Scene, execute, log_of, status
from tests.containers.waiting import until

pytestmark = [pytest.mark.docker, pytest.mark.slow]
COMPRESSED_AT_MOST = 80e6
ABSENT = (
    "import importlib.util as u, shutil, sys; "
    "print([m for m in ('pip', 'ensurepip') if u.find_spec(m)], "
    "[p for p in ('pip', 'pip3', 'gcc', 'cc', 'c++', 'ld', 'as', 'make') if shutil.which(p)])"
)


def test_it_says_what_it_is(client: docker.DockerClient, image: str) -> None:
    about = client.images.get(image).attrs["Config"]

    assert about["User"] == "65532:65532"
    assert about["Entrypoint"] == ["python", "-m", "proxy"]
    assert about["Healthcheck"]["Test"][:2] == ["CMD", "python"]  # not CMD-SHELL
    labels = {
        name.removeprefix("org.opencontainers.image."): value for name, value in about["Labels"].items()
    }
    assert labels["version"] == proxy.__version__
    assert labels["licenses"] == "Apache-2.0"
    assert len(labels["revision"]) == 40
    assert datetime.fromisoformat(labels["created"]).year >= 2026


def test_nothing_in_it_installs_or_compiles(app: Application) -> None:
    for python in ("/headway/bin/python", "/proc/1/exe"):
        assert execute(app.sidecar, python, "-c", ABSENT).strip() == "[] []"


@pytest.fixture
def on_bare_base(client: docker.DockerClient, base: str, tools: str) -> Iterator[str]:
    """Headway's image on a base with Python and nothing else that runs scripts."""
    bare, image = (f"headway-test-{what}:{secrets.token_hex(4)}" for what in ("bare", "on-bare"))
    images.without_shell(client, base, bare)
    try:
        images.headway(image, bare, tools)
        yield image
        client.images.remove(image, force=True)
    finally:
        client.images.remove(bare, force=True)


def test_it_needs_no_shell(on_bare_base: str, stage: Scene, pods: list[str]) -> None:
    """Without one it is built, serves and is healthy."""
    stage.image = on_bare_base
    app = Application(stage, TARGET="orders:8080")
    sidecar = app.inject(healthcheck={"interval": 500_000_000})
    app.becomes_ready()

    assert not app.asks(30).failed
    assert app.headway("endpoints").count(" ready ") == len(pods)
    assert until(lambda: status(sidecar)["Health"]["Status"] == "healthy", 10.0)
    assert sidecar.exec_run(["sh", "-c", "true"])[0] != 0


def test_it_is_small(
    client: docker.DockerClient, image: str, base: str, capsys: pytest.CaptureFixture[str]
) -> None:
    gzip = zlib.compressobj(wbits=31)
    size = sum(len(gzip.compress(chunk)) for chunk in client.images.get(image).save()) + len(gzip.flush())
    with capsys.disabled():
        print(f"\nimage: {size / 1e6:.1f} MB compressed, on {base}")

    assert size < COMPRESSED_AT_MOST


def test_start_to_ready(app: Application, capsys: pytest.CaptureFixture[str]) -> None:
    """By the engine's own clock, from the start of the process to its first endpoint."""
    line = next(line for line in log_of(app.sidecar, timestamps=True).splitlines() if "added" in line)
    took = datetime.fromisoformat(line[:26] + "+00:00") - datetime.fromisoformat(
        status(app.sidecar)["StartedAt"][:26] + "+00:00"
    )
    with capsys.disabled():
        print(f"\nstart: {took.total_seconds():.2f} s from the start of the container to its endpoints")

    assert took.total_seconds() > 0
