"""The soak of loadtest/, for two seconds: whatever has happened, nothing is left of it."""

import pytest

from loadtest.soak import soak
from tests.support import run
from tests.support.process import RELAYS

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("relay", RELAYS)
def test_nothing_is_left_behind(relay: str) -> None:
    """No byte wrong, no descriptor, task, session or lease too many."""
    traffic, left = run(soak(2.0, relay, seed=7))

    assert not traffic.faults, traffic.first_faults
    assert not left
