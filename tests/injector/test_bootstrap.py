"""The self-signed certificate of two replicas: made once, renewed in time, trusted all the while."""

import asyncio
import base64
import contextlib
import logging
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy.injector.api import ApiError
from proxy.injector.authority import LIFETIME, RENEW_WHEN_LEFT, Pair, why_renew
from proxy.injector.bootstrap import SPREAD_S
from tests.injector.cluster import NAME, SECRETS, WEBHOOKS, Cluster
from tests.injector.replicas import Replica, play, stored, trusts
from tests.injector.scenes import NAMES

pytestmark = pytest.mark.slow

SECRET = f"{SECRETS}/headway-injector-tls"


def test_the_first_start(tmp_path: Path) -> None:
    """The certificate is made, kept as one of Kubernetes' own kind, trusted by the webhook, and laid down."""

    async def scene(cluster: Cluster, a: Replica, b: Replica) -> None:
        await a.bootstrap.once()

        assert cluster.secret["type"] == "kubernetes.io/tls"
        assert stored(cluster).certificate == a.files[0]
        assert trusts(cluster, a)
        assert a.clock.slept == [SPREAD_S]  # the API servers hear of the bundle first
        assert (a.directory / "tls.key").stat().st_mode & 0o777 == 0o600

    play(tmp_path, scene)


@pytest.mark.parametrize("seed", range(6))
def test_two_replicas_start_at_once(seed: int, tmp_path: Path) -> None:
    """In whatever order their questions arrive, they end with one certificate, and it is trusted."""

    async def scene(cluster: Cluster, a: Replica, b: Replica) -> None:
        rng = random.Random(seed)

        async def late(method: str, path: str) -> None:
            await asyncio.sleep(rng.random() * 0.01)

        cluster.before = late
        await asyncio.gather(a.settle(), b.settle())

        assert a.files == b.files
        assert trusts(cluster, a)
        assert sum(each == ("POST", SECRETS) for each in cluster.asked) in (1, 2)

    play(tmp_path, scene)


def test_a_quiet_minute(tmp_path: Path) -> None:
    """While all is well, it is two questions and no change."""

    async def scene(cluster: Cluster, a: Replica, b: Replica) -> None:
        await a.bootstrap.once()
        cluster.asked.clear()
        before, version = a.files, cluster.version
        await a.bootstrap.once()

        assert (a.files, cluster.version) == (before, version)
        assert cluster.asked == [("GET", f"{WEBHOOKS}/{NAME}"), ("GET", SECRET)]

    play(tmp_path, scene)


@pytest.mark.parametrize("seed", range(6))
def test_renewal(seed: int, tmp_path: Path) -> None:
    """Two months on, both replicas renew at once: one wins, the old certificate stays trusted meanwhile."""

    async def scene(cluster: Cluster, a: Replica, b: Replica) -> None:
        await a.bootstrap.once()
        await b.bootstrap.once()
        old = a.files
        rng = random.Random(seed)

        async def late(method: str, path: str) -> None:
            assert all(base64.b64decode(bundle) for bundle in cluster.bundles)
            assert trusts_old(cluster, old)
            await asyncio.sleep(rng.random() * 0.01)

        cluster.before = late
        for replica in (a, b):
            replica.clock.advance((LIFETIME - RENEW_WHEN_LEFT).total_seconds() + 60)
        await asyncio.gather(a.settle(), b.settle())
        await a.settle()

        assert a.files == b.files != old
        assert trusts(cluster, a)

    play(tmp_path, scene)


def trusts_old(cluster: Cluster, old: tuple[bytes, bytes]) -> bool:
    """Whether replicas that still serve with it are believed, going by the day it was made."""
    return not any(
        why_renew(Pair(base64.b64decode(bundle), *old), NAMES, datetime.now(UTC))
        for bundle in cluster.bundles
    )


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_slow_replica_takes_no_bundle_back(number: int, tmp_path: Path) -> None:
    """Whichever of its questions the other replica's whole renewal overtakes, that one stays trusted."""

    async def scene(cluster: Cluster, a: Replica, b: Replica) -> None:
        await a.bootstrap.once()
        await b.bootstrap.once()
        cluster.objects[f"{WEBHOOKS}/{NAME}"]["webhooks"][1]["clientConfig"]["caBundle"] = (
            "YWJj"  # b will patch
        )
        a.clock.advance((LIFETIME - RENEW_WHEN_LEFT).total_seconds() + 60)
        asked = 0

        async def a_comes_first(method: str, path: str) -> None:
            nonlocal asked
            asked += 1
            if asked == number:
                cluster.before = None
                await a.settle()

        cluster.before = a_comes_first
        with contextlib.suppress(ApiError):
            await b.bootstrap.once()

        assert cluster.before is None
        assert trusts(cluster, a)

    play(tmp_path, scene)


@pytest.mark.parametrize(
    "data", [None, {}, {"tls.crt": "!"}, {"tls.crt": "aGVsbG8=", "tls.key": "aGVsbG8="}, [7]]
)
def test_a_secret_that_somebody_spoilt(
    data: object, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is filled anew, and the log says why."""
    caplog.set_level(logging.INFO, "headway")

    async def scene(cluster: Cluster, a: Replica, b: Replica) -> None:
        metadata = {"name": "headway-injector-tls", "resourceVersion": "0"}
        cluster.objects[SECRET] = {"kind": "Secret", "metadata": metadata, "data": data}
        await a.bootstrap.once()

        assert trusts(cluster, a)
        assert any("the certificate was renewed: it is no certificate" in line for line in caplog.messages)

    play(tmp_path, scene)


@pytest.mark.parametrize("data", [None, {}, {"tls.crt": "!"}, {"ca.crt": "aGVsbG8="}])
@pytest.mark.parametrize("first", ["a", "b"])
def test_a_secret_that_somebody_deleted(data: object, first: str, tmp_path: Path) -> None:
    """Or emptied: until the other replica has looked again, the API server goes on believing it."""

    async def scene(cluster: Cluster, a: Replica, b: Replica) -> None:
        await a.bootstrap.once()
        await b.bootstrap.once()
        old = a.files
        if data is None:
            del cluster.objects[SECRET]
        else:
            cluster.secret["data"] = data
        soon, late = (a, b) if first == "a" else (b, a)
        await soon.bootstrap.once()

        assert soon.files != late.files == old
        assert trusts(cluster, soon)
        assert trusts(cluster, late)
        await late.bootstrap.once()
        assert a.files == b.files
        assert trusts(cluster, a)

    play(tmp_path, scene)


def test_a_configuration_applied_anew(tmp_path: Path) -> None:
    """When somebody deletes and applies the manifests again, the next look mends the bundle."""

    async def scene(cluster: Cluster, a: Replica, b: Replica) -> None:
        await a.bootstrap.once()
        for webhook in cluster.objects[f"{WEBHOOKS}/{NAME}"]["webhooks"]:
            del webhook["clientConfig"]["caBundle"]
        await a.bootstrap.once()

        assert trusts(cluster, a)

    play(tmp_path, scene)
