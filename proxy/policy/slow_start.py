"""How large a share a new or recovered endpoint gets while its caches are cold and its code is not compiled.

Its weight rises in steps from a tenth (Envoy's min_weight_percent) to all of it: each step is a new snapshot.

What the cold ones are spared the warm ones get. A few among many are hardly noticed; but one that is warm
beside seven at a tenth would have 59 % of all connections, nearly five times its share, and slow start would
protect nobody (Envoy has that trap). So at least half of all weight always counts: where ramps would leave
less they have a floor, the same for all. Nobody has more than twice its fair share because others are cold,
and when all are cold all are alike.
"""

from collections.abc import Sequence

STEPS = 20
LEAST = 0.1
COUNTS_AT_LEAST = 0.5  # of the weights of all: its inverse is how many times its share one may get


def ramp(age_s: float, window_s: float) -> float:
    """What part of its weight counts `age_s` after it came; 1 when the window is over."""
    if age_s >= window_s:
        return 1.0
    step = int(STEPS * max(age_s, 0.0) / window_s)
    return max(LEAST, step / STEPS)


def floor(weighed: Sequence[tuple[float, float]]) -> float:
    """The least ramp among endpoints of these (ramp, weight); 0 where they need no floor."""
    wanted = COUNTS_AT_LEAST * sum(weight for _, weight in weighed)
    above = sum(ramp * weight for ramp, weight in weighed)
    if above >= wanted:
        return 0.0
    least = below = 0.0
    for ramp, weight in sorted(weighed):
        if below and ramp >= least:  # from here on, ramps are higher than the floor
            break
        above, below = above - ramp * weight, below + weight
        least = (wanted - above) / below
    return least


def next_step_s(window_s: float) -> float:
    return window_s / STEPS
