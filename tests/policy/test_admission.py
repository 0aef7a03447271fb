"""How many connections a process may hold below its limit of file descriptors."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.admission import DESCRIPTORS_PER_CONNECTION, RESERVE, connection_cap


@pytest.mark.parametrize(
    "limit,connections",
    [(0, 1), (8, 1), (24, 1), (64, 16), (256, 88), (1024, 432), (65536, 32688), (1048576, 524208)],
)
def test_cap(limit: int, connections: int) -> None:
    """The usual limits, and some so small that a fixed reserve would leave nothing."""
    assert connection_cap(limit) == connections


@settings(derandomize=True, deadline=None)
@given(st.integers(0, 2**30))
def test_descriptors_are_left_over(limit: int) -> None:
    """However small the limit, one connection is served; from 512 on the whole reserve stays free."""
    cap = connection_cap(limit)
    free = limit - cap * DESCRIPTORS_PER_CONNECTION

    assert cap >= 1
    assert free >= min(RESERVE, 16) or limit < 18
    assert free >= RESERVE or limit < 4 * RESERVE
    assert connection_cap(limit + 1) >= cap
