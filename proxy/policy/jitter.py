"""Keeps a fleet that started at once out of step."""

from proxy.model import Rng


def jittered(seconds: float, rng: Rng, share: float = 0.2) -> float:
    """`seconds` ± `share`: polls behind one DNS cache fall into step without it (envoy#35641)."""
    return seconds * (1 - share + 2 * share * rng.random())
