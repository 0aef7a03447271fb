"""Waits for what an engine does in its own time."""

import time
from collections.abc import Callable


def until(look: Callable[[], object], within_s: float) -> bool:
    """Whether it became true in time."""
    deadline = time.monotonic() + within_s
    while not look():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
