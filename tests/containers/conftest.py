"""An engine and the images once for all tests, a network with three pods for each."""

import secrets
from collections.abc import Iterator

import docker
import pytest

from tests.containers import images
from tests.containers.engine import engine
from tests.containers.scene import Application, Scene, scene


@pytest.fixture(scope="session")
def client() -> Iterator[docker.DockerClient]:
    with engine() as client:
        yield client


@pytest.fixture(scope="session")
def base(client: docker.DockerClient) -> str:
    return images.base(client)


@pytest.fixture(scope="session")
def tools(client: docker.DockerClient, base: str) -> str:
    return images.tools(client, base)


@pytest.fixture(scope="session")
def image(client: docker.DockerClient, base: str, tools: str) -> Iterator[str]:
    """Headway's own, made from this checkout, on a base with Python and nothing else that runs scripts."""
    tag = f"headway-test:{secrets.token_hex(4)}"
    bare = images.without_shell(client, base)
    images.ahead(client, bare, tools)
    images.headway(tag, bare, tools)
    try:
        yield tag
    finally:
        client.images.remove(tag, force=True)


@pytest.fixture
def stage(client: docker.DockerClient, image: str, tools: str) -> Iterator[Scene]:
    """A network without anyone in it."""
    with scene(client, image, tools) as made:
        yield made


@pytest.fixture
def pods(stage: Scene) -> list[str]:
    """The names of three pods of the Service `orders`."""
    return stage.scale(3)


@pytest.fixture
def app(stage: Scene, pods: list[str]) -> Application:
    """An application whose sidecar is ready and knows all three."""
    return _application(stage)


@pytest.fixture(scope="session")
def shared(client: docker.DockerClient, image: str, tools: str) -> Iterator[Scene]:
    """A network with three pods, for tests that leave it as it is."""
    with scene(client, image, tools) as made:
        made.scale(3)
        yield made


@pytest.fixture(scope="session")
def onlooker(shared: Scene) -> Application:
    """An application with its sidecar, for tests that only ask and look."""
    return _application(shared)


def _application(stage: Scene) -> Application:
    made = Application(stage, TARGET="orders:8080")
    made.inject()
    made.becomes_ready()
    return made
