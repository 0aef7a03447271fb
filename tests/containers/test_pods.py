"""Unmodified programs ask localhost while the pods of the Service come and go."""

import signal

import pytest

from tests.containers.scene import Application, Scene, ended
from tests.containers.waiting import until

pytestmark = [pytest.mark.docker, pytest.mark.slow]


def test_a_program_reaches_every_pod(onlooker: Application, shared: Scene) -> None:
    tally = onlooker.asks(90)

    assert not tally.failed
    assert set(tally.pods) == set(shared.pods)
    assert min(tally.pods.values()) >= 10


def test_curl_reaches_every_pod(onlooker: Application, shared: Scene) -> None:
    answers = onlooker.run("curl", "--silent", "--show-error", "--fail", "http://localhost:8080/[1-60]")

    assert len(answers.splitlines()) == 60
    assert {line.split()[0] for line in answers.splitlines()} == set(shared.pods)


def test_redis_cli_reaches_every_redis(stage: Scene) -> None:
    """A protocol in which the client speaks first and keeps its connection; a second Service, too."""
    for _ in range(3):
        stage.serve("cache", stage.tools, ["redis-server"], ["--protected-mode", "no", "--save", ""])
    stage.pod()
    app = Application(stage, SERVICES="orders,cache", ORDERS_TARGET="orders:8080", CACHE_TARGET="cache:6379")
    app.inject()
    app.becomes_ready()

    ask = "for i in $(seq 40); do redis-cli info server | grep run_id; done"
    run_ids = app.run("sh", "-c", ask).split()

    assert len(run_ids) == 40
    assert len(set(run_ids)) == 3
    assert app.run("redis-cli", "-r", "100", "ping").split() == ["PONG"] * 100
    assert not app.asks(10).failed


def test_a_killed_pod_is_not_missed(app: Application, stage: Scene, pods: list[str]) -> None:
    """Its address answers nothing any more: not even a refusal comes back."""
    stage.client.containers.get(pods[0]).kill()

    tally = app.asks(200)

    assert not tally.failed
    assert set(tally.pods) == set(pods[1:])


def test_a_pod_that_loses_its_network_is_not_missed(app: Application, stage: Scene, pods: list[str]) -> None:
    stage.network.disconnect(pods[0])

    tally = app.asks(200)

    assert not tally.failed
    assert set(tally.pods) == set(pods[1:])


def test_a_rolling_update_fails_no_request(app: Application, stage: Scene, pods: list[str]) -> None:
    """One by one a new pod joins and an old one gets SIGTERM, while the application asks and asks."""
    asking = app.starts_asking()
    new = []
    for old in pods:
        new.append(stage.pod())
        assert until(lambda: app.headway("endpoints").count(" ready ") == 4, 15.0)
        ended(stage.client.containers.get(old), signal.SIGTERM)
        assert until(lambda: app.headway("endpoints").count(" ready ") == 3, 15.0)
    last = app.asks(60)
    tally = app.stops_asking(asking)

    assert not tally.failed
    assert not last.failed
    assert set(last.pods) == set(new)
    assert set(tally.pods) == {*pods, *new}
