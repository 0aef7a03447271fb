"""The self-signed certificate while the API server is not well."""

import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy.injector.api import ApiError
from proxy.injector.bootstrap import RETRY_MAX_S
from proxy.tasks import spawn
from tests.injector.cluster import NAME, WEBHOOKS, Cluster
from tests.injector.replicas import Replica, play
from tests.support import eventually

pytestmark = pytest.mark.slow


def test_an_api_server_that_fails(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each failure is logged, counted and followed by a longer pause; in the end it works."""

    async def scene(cluster: Cluster, a: Replica, b: Replica) -> None:
        cluster.failures = [500, 503, 429, 401, 403, 404, 500, 500, 500]
        loop = spawn(a.bootstrap.run(), name="bootstrap")

        async def done() -> bool:
            return (a.directory / "tls.crt").exists()

        await eventually(done)
        loop.cancel()
        pauses = a.clock.slept[:9]

        assert a.failures == 9
        assert all(0.8 * 2**n <= pause <= 1.2 * 2**n for n, pause in enumerate(pauses[:6]))
        assert all(pause <= 1.2 * RETRY_MAX_S for pause in pauses)
        warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
        assert len(warnings) == 9
        assert "500 injected" in warnings[0]

    play(tmp_path, scene)


def test_a_conflict_is_no_failure(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """That another replica was first is worth a line, and nobody is alarmed."""

    async def scene(cluster: Cluster, a: Replica, b: Replica) -> None:
        cluster.failures = [409]
        loop = spawn(a.bootstrap.run(), name="bootstrap")

        async def done() -> bool:
            return (a.directory / "tls.crt").exists()

        await eventually(done)
        loop.cancel()

        assert a.failures == 0
        assert caplog.records == []  # of warnings

    play(tmp_path, scene)


def test_a_token_that_is_exchanged(tmp_path: Path) -> None:
    """The kubelet brings a new one every hour; the old one is not used any longer."""

    async def scene(cluster: Cluster, a: Replica, b: Replica) -> None:
        await a.bootstrap.once()
        cluster.token = "another"
        (tmp_path / "account" / "token").write_text("another")
        await a.bootstrap.once()

    play(tmp_path, scene)


@pytest.mark.parametrize("gone,says", [("token", "No such file"), ("ca.crt", "no certificate authority")])
def test_no_service_account(gone: str, says: str, tmp_path: Path) -> None:
    """A pod without the token is told what is missing."""

    async def scene(cluster: Cluster, a: Replica, b: Replica) -> None:
        (tmp_path / "account" / gone).unlink()
        with pytest.raises(ApiError, match=says):
            await a.bootstrap.once()

    play(tmp_path, scene)


def test_somebody_else_answers(tmp_path: Path) -> None:
    """The token goes to nobody whom the cluster's authority does not vouch for."""
    from proxy.injector.authority import issue

    async def scene(cluster: Cluster, a: Replica, b: Replica) -> None:
        (tmp_path / "account" / "ca.crt").write_bytes(issue(["localhost"], datetime.now(UTC)).authorities)
        with pytest.raises(ApiError, match=r"(?i)certificate"):
            await a.bootstrap.once()

        assert cluster.asked == []

    play(tmp_path, scene)


@pytest.mark.parametrize(
    "body", [{}, [], {"metadata": {"resourceVersion": "1"}, "webhooks": [{"name": "x"}]}]
)
def test_a_configuration_that_is_none(body: object, tmp_path: Path) -> None:
    """Whatever comes back, the loop goes on."""

    async def scene(cluster: Cluster, a: Replica, b: Replica) -> None:
        cluster.objects[f"{WEBHOOKS}/{NAME}"] = body
        with pytest.raises(ApiError, match="not understood"):
            await a.bootstrap.once()

    play(tmp_path, scene)
