"""How many spares an endpoint gets, and how old they may get: formulas in tables, demand as it comes."""

from collections import deque
from random import Random

import pytest

from proxy.policy import spares
from proxy.policy.spares import Demand, Manners, Patience

MAX_AGE_S, DIAL_S = 30.0, 0.02


def after(*came: float) -> Demand:
    demand = Demand()
    for moment in came:
        demand.came(1000.0 + moment, DIAL_S, MAX_AGE_S)
    return demand


def needed(demand: Demand, moment: float, lifetime_s: float = MAX_AGE_S) -> int:
    return demand.needed(1000.0 + moment, lifetime_s)


BURST = [0.001 * number for number in range(8)]


@pytest.mark.parametrize(
    "came,moment,wanted",
    [
        ([], 0.0, 0),
        ([0.0], 0.0, 0),  # whether there will be a second one, nobody knows
        ([0.0, 5.0], 5.0, 1),
        ([0.0, 5.0], 34.9, 1),
        ([0.0, 5.0], 35.1, 0),  # it would have aged
        ([0.0, 31.0], 31.0, 0),
        (BURST, 0.01, 0),
        ([*BURST, *(10.0 + each for each in BURST)], 10.1, 8),
        ([*BURST, *(40.0 + each for each in BURST)], 40.1, 0),  # eight dials for nothing, each time
        ([0.0, 0.015, 0.03, 0.045, 5.0], 5.0, 2),  # two within 20 ms
        ([10.0 * (number // 100) for number in range(300)], 21.0, spares.MOST),
    ],
)
def test_what_is_needed(came: list[float], moment: float, wanted: int) -> None:
    """As many as came within one dial, where they find a use before they are too old."""
    assert needed(after(*came), moment) == wanted


def test_a_burst_is_forgotten() -> None:
    """One that did not come again within two lifetimes says no more how many are needed."""
    demand = after(*BURST, *(1.0 + number for number in range(100)))

    assert needed(demand, 101.0) == 1


def test_pods_that_close_soon() -> None:
    """Where a spare may live for two seconds, connections every five seconds find none."""
    demand = after(0.0, 5.0, 10.0)

    assert (needed(demand, 10.0), needed(demand, 10.0, lifetime_s=2.0)) == (1, 0)


@pytest.mark.parametrize("rate,most", [(0.5, 2), (10.0, 5), (100.0, 12), (1000.0, 50)])
def test_connections_at_random(rate: float, most: int) -> None:
    """Of those that come at random 98 % find a spare; little more than Little's law asks for is kept."""
    rng, demand = Random(7), Demand()
    now, ready, found, number = 1000.0, 0, 0, 3000
    dialling: deque[float] = deque()
    for _ in range(number):
        now += rng.expovariate(rate)
        demand.came(now, DIAL_S, MAX_AGE_S)
        while dialling and dialling[0] <= now:
            dialling.popleft()
            ready += 1
        found, ready = (found + 1, ready - 1) if ready else (found, ready)
        wanted = demand.needed(now, MAX_AGE_S)
        dialling.extend([now + DIAL_S] * (wanted - ready - len(dialling)))
        assert wanted <= most

    assert found >= 0.98 * number - most


def test_what_pods_close() -> None:
    """Spares get three quarters as old as the youngest one that a pod closed; for ten minutes."""
    patience = Patience()
    assert patience.lifetime_s(30.0, 1000.0) == 30.0
    assert patience.learn(8.0, 1000.0)
    assert not patience.learn(12.0, 1001.0)

    assert patience.lifetime_s(30.0, 1002.0) == 6.0
    assert patience.lifetime_s(5.0, 1002.0) == 5.0
    assert patience.lifetime_s(30.0, 1601.1) == 30.0
    assert patience.learn(12.0, 1700.0)


@pytest.mark.parametrize(
    "unasked,pod_first",
    [
        ("", None),
        ("y", True),
        ("n", False),
        ("yn", False),  # a client that waits for a greeting does not speak first
        ("ny", False),  # but a silent one may have been told off
        ("nyy", False),
        ("nyyy", True),
        ("nyynyy", False),
    ],
)
def test_who_speaks_first(unasked: str, pod_first: bool | None) -> None:
    """As the sessions show."""
    manners = Manners()
    for each in unasked:
        manners.heard(each == "y")

    assert manners.pod_first is pod_first


def test_ages() -> None:
    """No older than allowed, and not all alike."""
    rng = Random(1)
    ages = [spares.age_s(30.0, rng) for _ in range(1000)]

    assert 24.0 <= min(ages) < 25.0 < 29.0 < max(ages) <= 30.0


@pytest.mark.parametrize(
    "wanted,there,in_flight,most,room,missing",
    [
        (2, 0, 0, 0, 99, 2),
        (2, 1, 50, 0, 99, 1),
        (2, 3, 0, 0, 99, 0),
        (5, 0, 7, 10, 99, 3),  # they count like connections
        (5, 3, 7, 10, 99, 0),
        (5, 0, 12, 10, 99, 0),
        (5, 0, 0, 0, 3, 3),
        (5, 0, 0, 0, -1, 0),
    ],
)
def test_what_is_missing(wanted: int, there: int, in_flight: int, most: int, room: int, missing: int) -> None:
    """Never more than the caps allow."""
    assert spares.missing(wanted, there, in_flight, most, room) == missing


@pytest.mark.parametrize("failures,seconds", [(1, 1.0), (2, 2.0), (4, 8.0), (7, 60.0), (5000, 60.0)])
def test_pauses(failures: int, seconds: float) -> None:
    """They double from a second to a minute, a fifth more or less."""
    assert spares.pause_s(failures, Random(3)) == pytest.approx(seconds, rel=0.2)


@pytest.mark.parametrize(
    "dialling_s,usual_s,overdue",
    [(0.09, 0.001, False), (0.11, 0.001, True), (0.3, 0.1, False), (0.5, 0.1, True)],
)
def test_a_dial_that_takes_long(dialling_s: float, usual_s: float, overdue: bool) -> None:
    """Four times as long as usual, and a tenth of a second."""
    assert spares.is_overdue(dialling_s, usual_s) is overdue
