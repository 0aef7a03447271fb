"""Tells whose fault it is when connections go badly: one endpoint's, or this pod's own."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from proxy.policy.endpoint import NEVER, Endpoint

SLOW_S = 0.1  # a connect that is faster is never an outlier
SLOW_TIMES = 10  # what is usual; a lost SYN alone costs a second
ENOUGH = 5  # that fail while nobody works: in a large service the others may not have been asked
PEERS = 3  # it takes at least as many others to tell what is usual
SILENT_S = 1.0  # without a connection that works: where there is traffic, that is long


class Usual(NamedTuple):
    """How long the last connects took, in the middle of `known` endpoints."""

    seconds: float
    known: int


def usual(endpoints: Iterable[Endpoint]) -> Usual:
    took_s = sorted(each.connect_s for each in endpoints if each.connect_s is not None)
    middle = len(took_s) // 2
    return Usual((took_s[middle] + took_s[~middle]) / 2 if took_s else 0.0, len(took_s))


def is_slow(connect_s: float, endpoint: Endpoint, usual: Usual) -> bool:
    """Whether a connect to `endpoint` took far longer than is usual among it and its peers."""
    peers = usual.known - (endpoint.connect_s is not None)
    return connect_s >= max(SLOW_S, SLOW_TIMES * usual.seconds) and peers >= PEERS


def all_failed(endpoints: Sequence[Endpoint], last_success_at: float, silent: bool = True) -> bool:
    """Whether everyone began to fail since anyone worked for the last time: at least two; five are enough.

    It is then more likely that the common part is broken: this pod, its network, its node. Who failed before
    that proves nothing. Who answered that it is not well (NEVER) is reached, like one that works. While it is
    not yet `silent` for long, it takes all of them, and five at least.
    """
    failing = [each.failing_since for each in endpoints if each.alive is False and each.failing_since > NEVER]
    turned = sum(since >= last_success_at for since in failing)
    others = len(endpoints) - (len(failing) - turned)
    return turned >= (max(2, min(ENOUGH, others)) if silent else max(ENOUGH, others))
