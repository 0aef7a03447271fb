"""Connections through a picker, without a network: short ones, or held for a while."""

from collections import Counter, deque
from collections.abc import Collection, Sequence
from random import Random

from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers import PICKERS, Picker, PickInfo

# Those that spread the connections; `ordered` gives them all to the first.
SHARING = [name for name in PICKERS if name != "ordered"]


def some_info(rng: Random, tried: Collection[Endpoint] = (), now: float = 0.0) -> PickInfo:
    """A connection of a client that nobody has seen before."""
    return PickInfo(tried, now, rng, rng.getrandbits(64))


def picked(
    picker: Picker, rng: Random, tried: Collection[Endpoint] = (), now: float = 0.0
) -> Endpoint | None:
    """The endpoint of one connection, if there is any."""
    pick = picker.pick(some_info(rng, tried, now))
    return None if pick is None else pick.endpoint


def picks(
    picker: Picker, count: int, rng: Random, tried: Collection[Endpoint] = (), now: float = 0.0
) -> Counter[Endpoint]:
    """How many of `count` short connections each endpoint gets."""
    counts: Counter[Endpoint] = Counter()
    for _ in range(count):
        endpoint = picked(picker, rng, tried, now)
        assert endpoint is not None
        counts[endpoint] += 1
    return counts


class Held:
    """The latest `most` connections stay open; the oldest ends when one more comes, every 2 ms."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._now = 0.0
        self._open: deque[Endpoint] = deque()

    def connect(self, picker: Picker, rng: Random, ends_at_once: Collection[Endpoint] = ()) -> Endpoint:
        """One more; that to an endpoint that fails, or is quick, `ends_at_once`."""
        self._now += 0.002
        endpoint = picked(picker, rng, now=self._now)
        assert endpoint is not None
        if endpoint in ends_at_once:
            return endpoint
        endpoint.in_flight += 1
        self._open.append(endpoint)
        if len(self._open) > self._most:
            self._open.popleft().in_flight -= 1
        return endpoint


def hold(picker: Picker, endpoints: Sequence[Endpoint], count: int, rng: Random) -> list[int]:
    """How many of `count` connections that nobody closes each endpoint ends up with."""
    held = Held(count)
    for _ in range(count):
        held.connect(picker, rng)
    return [endpoint.in_flight for endpoint in endpoints]
