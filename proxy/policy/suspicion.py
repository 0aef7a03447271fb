"""Tells whose fault it is when connections go badly: one endpoint's, or this pod's own."""

from collections.abc import Iterable, Sequence
from statistics import median

from proxy.policy.endpoint import Endpoint

SLOW_S = 0.1  # a connect that is faster is never an outlier
SLOW_TIMES = 10  # the others' median; a lost SYN alone costs a second
ENOUGH = 5  # that fail while nobody works: in a large service the others may not have been asked
PEERS = 3  # it takes at least as many to tell what is usual


def is_slow(connect_s: float, endpoint: Endpoint, endpoints: Iterable[Endpoint]) -> bool:
    """Whether a connect to `endpoint` took far longer than the last ones to the others did."""
    if connect_s < SLOW_S:
        return False
    usual = [each.connect_s for each in endpoints if each is not endpoint and each.connect_s is not None]
    return len(usual) >= PEERS and connect_s >= SLOW_TIMES * median(usual)


def all_failed(endpoints: Sequence[Endpoint], last_success_at: float) -> bool:
    """Whether everyone began to fail since anyone worked for the last time: at least two; five are enough.

    It is then more likely that the common part is broken: this pod, its network, its node. Who failed before
    that proves nothing.
    """
    failing = [each.failing_since for each in endpoints if each.alive is False]
    turned = sum(since >= last_success_at for since in failing)
    others = len(endpoints) - (len(failing) - turned)
    return turned >= max(2, min(ENOUGH, others))
