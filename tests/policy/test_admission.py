"""How many connections a process may hold below its limits of file descriptors and memory."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.admission import (
    DESCRIPTORS_PER_CONNECTION,
    FEWEST,
    RESERVE,
    cap,
    connection_cap,
    memory_cap,
)

MIB = 1 << 20


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
    most = connection_cap(limit)
    free = limit - most * DESCRIPTORS_PER_CONNECTION

    assert most >= 1
    assert free >= min(RESERVE, 16) or limit < 18
    assert free >= RESERVE or limit < 4 * RESERVE
    assert connection_cap(limit + 1) >= most


@pytest.mark.parametrize(
    "mib,fewest,most", [(0, FEWEST, FEWEST), (44, FEWEST, FEWEST), (64, 2_000, 3_000), (256, 20_000, 30_000)]
)
def test_memory(mib: int, fewest: int, most: int) -> None:
    """64 MiB carry 2,000 to 3,000 connections beside the idle process; hardly any memory still some."""
    assert fewest <= memory_cap(mib * MIB) <= most


@pytest.mark.parametrize(
    "wanted,descriptors,memory,connections,because",
    [
        (None, 1024, None, 432, "descriptors"),
        (None, 1024, 64 * MIB, 432, "descriptors"),
        (None, 1 << 20, 64 * MIB, memory_cap(64 * MIB), "memory"),
        (100, 1 << 20, 64 * MIB, 100, "MAX_CONNECTIONS"),
        (20_000, 1 << 20, 64 * MIB, 20_000, "MAX_CONNECTIONS"),
        (20_000, 1024, None, 432, "descriptors"),
    ],
)
def test_the_least_limit(
    wanted: int | None, descriptors: int, memory: int | None, connections: int, because: str
) -> None:
    """Descriptors limit everyone, memory only who named no number; it is said which one does."""
    assert cap(wanted, descriptors, memory) == (connections, because)
