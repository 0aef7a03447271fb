"""Keeps a fleet that started at once out of step."""

from proxy.model import Rng

JITTER = 0.2


def jittered(seconds: float, rng: Rng, share: float = JITTER) -> float:
    """`seconds` ± `share`: polls behind one DNS cache fall into step without it (envoy#35641)."""
    return seconds * (1 - share + 2 * share * rng.random())
