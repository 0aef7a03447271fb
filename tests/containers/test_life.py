"""The sidecar's container starts, ends and starts again, as the kubelet would have it."""

import signal
import time

import pytest
from docker.models.containers import Container

from tests.containers.scene import QUIET_S, Application, Scene, ended, execute, log_of, status
from tests.containers.waiting import until

pytestmark = [pytest.mark.docker, pytest.mark.slow]
SECOND_NS = 10**9


def test_the_application_ends_first(app: Application) -> None:
    """The kubelet ends native sidecars last: nobody talks any more then, and it ends by itself, with 0."""
    asking = app.starts_asking()
    assert not app.stops_asking(asking).failed

    began = time.monotonic()
    assert ended(app.sidecar, signal.SIGTERM) == 0
    assert time.monotonic() - began < 5.0


def test_an_application_that_still_talks_is_served(app: Application) -> None:
    """Both get SIGTERM at once in old clusters; an application that needs time for its end has its egress."""
    asking = app.starts_asking()
    app.sidecar.kill("SIGTERM")
    assert until(lambda: app.page("/readyz").startswith("draining"), 5.0)
    tally = app.asks(100)
    time.sleep(2 * QUIET_S)

    assert not tally.failed
    assert status(app.sidecar)["Running"]
    assert not app.stops_asking(asking).failed
    assert ended(app.sidecar) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_it_restarts_in_place(app: Application, pods: list[str], number: signal.Signals) -> None:
    """Its ports are free again at once, and the application never notices that it is another process."""
    assert not app.asks(50, at_once=10).failed

    ended(app.sidecar, number)
    app.sidecar.start()
    app.becomes_ready()

    tally = app.asks(90)
    assert not tally.failed
    assert set(tally.pods) == set(pods)


def test_docker_stop_is_no_kill(app: Application) -> None:
    app.sidecar.stop(timeout=20)

    assert status(app.sidecar)["ExitCode"] == 0


def health(container: Container) -> str:
    return str(status(container)["Health"]["Status"])


def test_docker_knows_its_health(stage: Scene) -> None:
    """Where the pages are elsewhere they are asked there; a process that hangs fails it."""
    app = Application(stage, TARGET="static://127.0.0.9:1", LISTEN=":8080", TELEMETRY_LISTEN="off")
    sidecar = app.inject(healthcheck={"interval": SECOND_NS // 2, "retries": 1, "start_period": 0})
    assert until(lambda: health(sidecar) == "healthy", 10.0), status(sidecar)

    sidecar.kill("SIGSTOP")
    assert until(lambda: health(sidecar) == "unhealthy", 15.0)


def test_commands_work_inside(onlooker: Application, shared: Scene) -> None:
    assert "HEADWAY_TARGET" in onlooker.headway("check")
    assert onlooker.headway("endpoints").count(" ready ") == len(shared.pods)
    assert "All is well" in onlooker.headway("doctor", "--watch", "1")
    assert onlooker.headway("endpoints") == execute(onlooker.sidecar, "python", "-m", "proxy", "endpoints")


def test_wrong_settings_end_it_with_2(stage: Scene) -> None:
    container = stage.run(stage.image, network_mode="none", environment={"HEADWAY_TARGTE": "orders:8080"})

    assert ended(container) == 2
    assert "HEADWAY_TARGTE" in log_of(container)
