"""Connections through a picker, without a network: short ones, or held for a while."""

from collections import Counter, deque
from collections.abc import Collection, Sequence
from random import Random

from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers import Picker


def picks(picker: Picker, count: int, rng: Random, tried: Collection[Endpoint] = ()) -> Counter[Endpoint]:
    """How many of `count` short connections each endpoint gets."""
    counts: Counter[Endpoint] = Counter()
    for _ in range(count):
        endpoint = picker.pick(tried, rng)
        assert endpoint is not None
        counts[endpoint] += 1
    return counts


class Held:
    """The latest `most` connections stay open; the oldest ends when one more comes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: deque[Endpoint] = deque()

    def connect(self, picker: Picker, rng: Random) -> Endpoint:
        endpoint = picker.pick((), rng)
        assert endpoint is not None
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
