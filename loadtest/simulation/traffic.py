"""How connections come, and how long it takes to serve them."""

from collections.abc import Callable
from math import log
from random import Random

Draw = Callable[[Random], float]
SIGMA = 1.0  # of the log-normal times: the 99th percentile is ten times the median


def exponential(mean_s: float) -> Draw:
    return lambda rng: rng.expovariate(1 / mean_s)


def lognormal(mean_s: float) -> Draw:
    """Most are short and a few very long, as measured of requests more often than the exponential."""
    mu = log(mean_s) - SIGMA**2 / 2
    return lambda rng: rng.lognormvariate(mu, SIGMA)


def constant(mean_s: float) -> Draw:
    return lambda rng: mean_s


SERVICE_TIMES: dict[str, Callable[[float], Draw]] = {
    "exponential": exponential,
    "lognormal": lognormal,
    "constant": constant,
}


def burst_size(mean: float, rng: Random) -> int:
    """How many connections come together: geometric, at least one."""
    return 1 if mean <= 1 else 1 + int(log(1 - rng.random()) / log(1 - 1 / mean))
