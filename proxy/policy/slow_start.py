"""How large a share a new or recovered endpoint gets while its caches are cold and its code is not compiled.

Its weight rises in steps from a tenth (Envoy's min_weight_percent) to all of it: each step is a new snapshot.
"""

STEPS = 20
LEAST = 0.1


def ramp(age_s: float, window_s: float) -> float:
    """What part of its weight counts `age_s` after it came; 1 when the window is over."""
    if age_s >= window_s:
        return 1.0
    step = int(STEPS * max(age_s, 0.0) / window_s)
    return max(LEAST, step / STEPS)


def next_step_s(window_s: float) -> float:
    return window_s / STEPS
