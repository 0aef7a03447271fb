"""Replicas of the injector that keep a certificate in a cluster of the tests."""

import base64
import contextlib
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from proxy.injector.api import ApiError
from proxy.injector.authority import Pair, why_renew
from proxy.injector.bootstrap import Bootstrap
from tests.injector.cluster import Cluster, serving
from tests.injector.scenes import NAMES, run
from tests.support import FakeClock


class Calendar(FakeClock):
    """The date of today, from there on by hand. Remembers how long somebody slept."""

    def __init__(self) -> None:
        super().__init__()
        self.began = datetime.now(UTC)
        self.slept: list[float] = []

    def date(self, moment: float) -> datetime:
        return self.began + timedelta(seconds=moment - 1000.0)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await super().sleep(seconds)


class Replica:
    """One of those that share the Secret."""

    def __init__(self, cluster: Cluster, home: Path, name: str) -> None:
        self.directory = home / name
        self.directory.mkdir()
        self.clock = Calendar()
        self.failures = 0
        place = cluster.place(home / "account")
        self.bootstrap = Bootstrap(place, self.directory, self.clock, random.Random(7), self._failed)

    def _failed(self) -> None:
        self.failures += 1

    @property
    def files(self) -> tuple[bytes, bytes]:
        """What it serves with."""
        return tuple((self.directory / name).read_bytes() for name in ("tls.crt", "tls.key"))  # type: ignore[return-value]

    async def settle(self) -> None:
        """Once more after each conflict, as the loop does."""
        while True:
            with contextlib.suppress(ApiError):
                await self.bootstrap.once()
                return


def play(home: Path, scene: Callable[[Cluster, Replica, Replica], Awaitable[None]]) -> None:
    async def story() -> None:
        async with serving(home / "account") as cluster:
            await scene(cluster, Replica(cluster, home, "a"), Replica(cluster, home, "b"))

    run(story())


def stored(cluster: Cluster) -> Pair:
    parts = [base64.b64decode(cluster.secret["data"][name]) for name in ("ca.crt", "tls.crt", "tls.key")]
    return Pair(*parts)


def trusts(cluster: Cluster, replica: Replica) -> bool:
    """Whether the API server would talk to the replica, by each webhook's bundle."""
    pairs = [Pair(base64.b64decode(bundle), *replica.files) for bundle in cluster.bundles]
    return [why_renew(pair, NAMES, replica.clock.date(replica.clock.now())) for pair in pairs] == ["", ""]
