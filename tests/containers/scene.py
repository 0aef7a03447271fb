"""Pods as containers: those of a Service behind one network alias, and an application's with its sidecar."""

import json
import secrets
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import docker
from docker.errors import NotFound
from docker.models.containers import Container
from docker.models.networks import Network

from tests.containers.waiting import until

LABEL = "dev.headway.test"
PORT = 8080
SLEEP = ["sleep", "900"]  # of containers that others live in; also the longest that one is left behind
CLIENT = (Path(__file__).parent / "client.py").read_text()
POD = f"""
import socket, sys
from proxy.demo import pod
name = socket.gethostname()
sys.argv += ["--name", name, "--listen", socket.gethostbyname(name) + ":{PORT}"]
pod.main()
"""
# What the "restricted" Pod Security Standard asks for, a small limit, and no swap beyond it.
RESTRICTED: dict[str, Any] = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "mem_limit": "64m",
    "memswap_limit": "64m",
}
# As by default, only sooner.
QUIET_S = 0.25
QUICK = {
    "HEADWAY_DNS_INTERVAL": "500ms",
    "HEADWAY_READY_WHEN": "endpoint",
    "HEADWAY_DRAIN_QUIET": f"{QUIET_S * 1000:g}ms",
}


class Tally(NamedTuple):
    """What became of requests: how many each pod answered, and every failure in its own words."""

    pods: dict[str, int]
    failed: list[str]


class Application:
    """A pod: a network namespace, in it an application container, and the sidecar."""

    def __init__(self, scene: "Scene", **variables: str) -> None:
        self._scene = scene
        self._pause = scene.run(scene.tools, SLEEP, network=scene.network.name)
        self.shares = {"network_mode": f"container:{self._pause.name}"}
        self.container = scene.run(scene.tools, SLEEP, **self.shares)
        self.environment = QUICK | {f"HEADWAY_{name}": value for name, value in variables.items()}
        self.sidecar = self._pause

    def inject(self, **options: Any) -> Container:
        """Start the sidecar; `options` are Docker's."""
        wanted = RESTRICTED | {"environment": self.environment} | self.shares | options
        self.sidecar = self._scene.run(self._scene.image, **wanted)
        return self.sidecar

    def becomes_ready(self) -> None:
        if not until(lambda: self.page("/readyz").startswith("ready"), 20.0):
            logs = log_of(self.sidecar)
            raise AssertionError(f"not ready: {self.page('/readyz')} {status(self.sidecar)}\n{logs}")

    def page(self, path: str) -> str:
        return self.run("curl", "--silent", "--max-time", "5", f"http://localhost:9902{path}", fails=True)

    def asks(self, times: int, *, at_once: int = 1) -> Tally:
        """So many requests to localhost, by a program that knows of nothing else."""
        return _tally(self.run("python3", "-c", CLIENT, str(PORT), str(times), str(at_once)))

    def starts_asking(self) -> Container:
        """A further container that asks all the time; `stops_asking` ends it."""
        program = ["python3", "-c", CLIENT, str(PORT)]
        container = self._scene.run(self._scene.tools, program, **self.shares)
        assert until(lambda: log_of(container), 10.0), "the application has had no answer"
        return container

    def stops_asking(self, container: Container) -> Tally:
        """SIGTERM, as the kubelet ends an application."""
        assert ended(container, signal.SIGTERM) == 0
        return _tally(log_of(container).splitlines()[-1])

    def run(self, *command: str, fails: bool = False) -> str:
        """What this command prints, run in the application's container."""
        return execute(self.container, *command, fails=fails)

    def headway(self, *command: str) -> str:
        """The same, of a `headway` command in the sidecar's container."""
        return execute(self.sidecar, "headway", *command)


class Scene:
    """One network with all that was started in it."""

    def __init__(self, client: docker.DockerClient, image: str, tools: str) -> None:
        self.client, self.image, self.tools = client, image, tools
        self.pods: list[str] = []  # their names
        self.prefix = f"headway-test-{secrets.token_hex(4)}"
        # Nothing in it can reach anything outside.
        self.network: Network = client.networks.create(
            self.prefix, driver="bridge", internal=True, labels={LABEL: self.prefix}
        )

    def run(self, image: str, command: list[str] | None = None, **options: Any) -> Container:
        name = f"{self.prefix}-{secrets.token_hex(3)}"
        labels = {LABEL: self.prefix}
        return self.client.containers.run(image, command, name=name, labels=labels, detach=True, **options)

    def serve(
        self, alias: str, image: str, entrypoint: list[str], command: list[str] | None = None
    ) -> Container:
        """One more container behind this name."""
        address = self.client.api.create_endpoint_config(aliases=[alias])
        return self.run(
            image,
            command,
            entrypoint=entrypoint,
            network=self.network.name,
            networking_config={self.network.name: address},
        )

    def pod(self) -> str:
        """One more pod of the Service `orders`; it answers with its name."""
        self.pods.append(str(self.serve("orders", self.image, ["python", "-c", POD]).short_id))
        return self.pods[-1]

    def scale(self, more: int) -> list[str]:
        """So many more pods, started at once; the names of all."""
        with ThreadPoolExecutor(more) as threads:
            for each in [threads.submit(self.pod) for _ in range(more)]:
                each.result()
        return list(self.pods)

    def close(self) -> None:
        left = self.client.containers.list(all=True, filters={"label": f"{LABEL}={self.prefix}"})
        with ThreadPoolExecutor() as threads:
            list(threads.map(_remove, left))
        self.network.remove()


def _remove(container: Container) -> None:
    with suppress(NotFound):
        container.remove(force=True, v=True)


@contextmanager
def scene(client: docker.DockerClient, image: str, tools: str) -> Iterator[Scene]:
    """A network, gone afterwards with all that is in it."""
    made = Scene(client, image, tools)
    try:
        yield made
    finally:
        made.close()


def execute(container: Container, *command: str, fails: bool = False) -> str:
    """What it prints, errors included; AssertionError when it fails and must not."""
    code, output = container.exec_run(list(command))
    assert isinstance(output, bytes)
    text = output.decode(errors="replace")
    assert fails or code == 0, f"{command[:3]} ended with {code}: {text[-3000:]}"
    return text


def ended(container: Container, number: signal.Signals | None = None, within_s: float = 15.0) -> int:
    """Its exit status, once it has ended by itself or of this signal."""
    if number is not None:
        container.kill(number.name)
    return int(container.wait(timeout=within_s)["StatusCode"])


def log_of(container: Container, **options: Any) -> str:
    return b"".join(container.logs(stream=True, follow=False, **options)).decode(errors="replace")


def status(container: Container) -> dict[str, Any]:
    """The engine's view of it now: `Running`, `OOMKilled`, `Health`, …"""
    container.reload()
    state: dict[str, Any] = container.attrs["State"]
    return state


def _tally(line: str) -> Tally:
    return Tally(**json.loads(line))
