"""Whose fault it is: an outlier among peers, or everyone at once."""

import pytest

from proxy.policy.endpoint import NEVER, Endpoint
from proxy.policy.suspicion import Usual, all_failed, is_slow, usual
from tests.support.fleet import fleet

# --- slow connects --------------------------------------------------------------------------------


def taking(*seconds: float | None) -> list[Endpoint]:
    """Endpoints whose last connects took so long; None: there was none."""
    endpoints = fleet(len(seconds))
    for endpoint, connect_s in zip(endpoints, seconds, strict=True):
        endpoint.connect_s = connect_s
    return endpoints


@pytest.mark.parametrize(
    "seconds,want",
    [
        ([], Usual(0.0, 0)),
        ([None, None], Usual(0.0, 0)),
        ([0.2, None, 0.1, 0.9], Usual(0.2, 3)),
        ([0.1, 0.3], Usual(0.2, 2)),
    ],
)
def test_usual(seconds: list[float | None], want: Usual) -> None:
    """The median of those that are known."""
    assert usual(taking(*seconds)) == pytest.approx(want)


@pytest.mark.parametrize(
    "connect_s,usual_s,slow",
    [
        (0.099, 0.001, False),  # ninety-nine times as long, but who would notice
        (0.1, 0.01, True),
        (0.1, 0.0101, False),
        (0.1, 0.0001, True),
        (1.0, 0.11, False),  # all of them are far away
        (1.0, 0.1, True),
    ],
)
def test_slow(connect_s: float, usual_s: float, slow: bool) -> None:
    """Ten times what is usual, and a tenth of a second."""
    (endpoint,) = taking(None)
    assert is_slow(connect_s, endpoint, Usual(usual_s, 3)) is slow


@pytest.mark.parametrize(
    "own,known,slow", [(None, 2, False), (None, 3, True), (0.01, 3, False), (0.01, 4, True)]
)
def test_it_takes_three_others(own: float | None, known: int, slow: bool) -> None:
    """Its own last connect is no peer."""
    (endpoint,) = taking(own)
    assert is_slow(0.5, endpoint, Usual(0.01, known)) is slow


# --- everyone at once -----------------------------------------------------------------------------


def failing(*since: float | None) -> list[Endpoint]:
    """Endpoints that fail since then; None: they work; NEVER: they answer that they are not well."""
    endpoints = fleet(len(since))
    for endpoint, moment in zip(endpoints, since, strict=True):
        endpoint.alive, endpoint.failing_since = moment is None, NEVER if moment is None else moment
    return endpoints


@pytest.mark.parametrize(
    "since,want",
    [
        ([], False),
        ([11.0], False),  # one alone is a dead pod
        ([11.0, None], False),
        ([11.0, 12.0], True),
        ([10.0, 10.0], True),
        ([9.9, 12.0], False),  # who failed before anybody worked for the last time proves nothing
        ([9.9, 11.0, 12.0], True),  # nor does it count among those that would have to
        ([9.9, 9.9, 12.0], False),
        ([11.0] * 4 + [None], False),
        ([11.0] * 5 + [None] * 95, True),  # five are enough, the others may not have been asked
        ([11.0] * 4 + [None] * 96, False),
        ([11.0] * 4 + [9.9] * 96, True),
        ([11.0] * 4 + [9.9] * 95 + [None], False),
        ([11.0] * 2 + [NEVER] * 8, False),  # these answered that they are not well
        ([11.0] * 5 + [NEVER] * 95, True),
    ],
)
def test_all_failed(since: list[float | None], want: bool) -> None:
    """All of those that worked have turned since the last success, at 10: two at least, or five of many."""
    assert all_failed(failing(*since), 10.0) is want


@pytest.mark.parametrize(
    "since,want",
    [
        ([11.0] * 4, False),
        ([11.0] * 5, True),
        ([11.0] * 5 + [None], False),
        ([11.0] * 5 + [9.9], True),
        ([11.0] * 99 + [None], False),
    ],
)
def test_at_once(since: list[float | None], want: bool) -> None:
    """Somebody worked just now: five may be the five that are dead, unless there is nobody else."""
    assert all_failed(failing(*since), 10.0, silent=False) is want


def test_nobody_was_asked_yet() -> None:
    """Nothing is known, nothing is wrong."""
    assert not all_failed(fleet(3), NEVER)
