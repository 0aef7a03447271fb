"""When an endpoint is checked next: the paces, what makes a check needless, the budget, and whole fleets."""

import heapq
from collections import Counter
from random import Random

import pytest

from proxy.model import Address, Identity
from proxy.policy import pacing
from proxy.policy.ejection import Ejection, Phase
from proxy.policy.endpoint import Endpoint
from proxy.policy.health import Health, Status
from proxy.policy.pacing import BEFORE_ALL, NEVER, Crowd, ProbeRule

RULE = ProbeRule(5.0, budget=20, passive_first=True)


def endpoint(
    status: Status = Status.HEALTHY, streak: int = 0, alive: bool | None = True, phase: Phase = Phase.SERVING
) -> Endpoint:
    it = Endpoint(Identity(Address("10.0.0.1", 80)), Health(status, streak))
    it.alive, it.ejection = alive, Ejection(phase)
    return it


# --- the paces ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "interval_s,budget,active,members,sidecars,want_s",
    [
        (5.0, 20, 10, 10, 0, 5.0),
        (5.0, 20, 100, 100, 0, 5.0),
        (5.0, 20, 101, 101, 0, 5.05),
        (5.0, 20, 1000, 1000, 0, 50.0),
        (5.0, 0, 1000, 1000, 0, 5.0),  # no limit
        (5.0, 1, 10_000, 10_000, 0, 300.0),  # no pod is forgotten
        (3600.0, 20, 10, 10, 5000, 3600.0),  # what was asked for is not cut
        (5.0, 20, 10, 10, 10, 5.0),
        (5.0, 20, 10, 10, 100, 50.0),  # a hundred checks in 50 s: two a second
        (5.0, 20, 10, 10, 5000, 300.0),
        (5.0, 20, 10, 100, 100, 5.0),  # of which each sidecar checks a tenth
        (5.0, 20, 10, 100, 1000, 50.0),
        (5.0, 20, 1000, 1000, 400, 200.0),
        (5.0, 20, 0, 0, 400, 5.0),  # nobody to check
    ],
)
def test_the_interval(
    interval_s: float, budget: int, active: int, members: int, sidecars: int, want_s: float
) -> None:
    """It grows with the endpoints over the budget, with the sidecars over two a second; to five minutes."""
    got_s = pacing.interval_s(ProbeRule(interval_s, budget), Crowd(active, members, sidecars))

    assert got_s == pytest.approx(want_s)


@pytest.mark.parametrize(
    "who,mean_s",
    [
        (endpoint(), 50.0),
        (endpoint(Status.ASSUMED, alive=None), 50.0),
        (endpoint(Status.HEALTHY, streak=1, alive=False), 1.0),
        (endpoint(Status.HEALTHY, streak=1), 1.0),  # a connection worked, the check still speaks against it
        (endpoint(Status.HEALTHY, alive=False), 1.0),  # a connection failed
        (endpoint(Status.ASSUMED, alive=False), 1.0),
        (endpoint(Status.UNCHECKED, alive=None), 1.0),
        (endpoint(Status.UNHEALTHY, alive=False), 30.0),
        (endpoint(Status.UNHEALTHY, streak=1), 1.0),  # on its way back
        (endpoint(Status.HEALTHY, alive=True, phase=Phase.EJECTED), 50.0),  # checks do not see what it does
        (endpoint(Status.HEALTHY, alive=False, phase=Phase.EJECTED), 1.0),
    ],
)
def test_the_pause(who: Endpoint, mean_s: float) -> None:
    """Well ones at the grown interval, those between two states fast, those that are down in between."""
    rng = Random(7)
    pauses = [pacing.pause_s(who, RULE, 50.0, rng) for _ in range(1000)]

    assert min(pauses) >= 0.8 * mean_s - 1e-9 and max(pauses) <= 1.2 * mean_s + 1e-9
    assert sum(pauses) / len(pauses) == pytest.approx(mean_s, rel=0.02)


@pytest.mark.parametrize("interval_s,want_s", [(0.1, 0.1), (0.5, 0.2), (1.0, 0.2), (5.0, 1.0), (60.0, 12.0)])
def test_the_fast_pace(interval_s: float, want_s: float) -> None:
    """A fifth of the interval, not below 200 ms, and never slower than the interval."""
    assert pacing.fast_s(ProbeRule(interval_s)) == pytest.approx(want_s)


def test_a_down_one_is_not_checked_faster_than_a_well_one() -> None:
    """A short cap for those that are down does not shorten an interval that is long by itself."""
    rule = ProbeRule(60.0)

    assert pacing.pause_s(endpoint(Status.UNHEALTHY, alive=False), rule, 60.0, Random(7)) >= 48.0


# --- passive first ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "who,ago_s,spared",
    [
        (endpoint(), 0.0, True),
        (endpoint(), 4.99, True),
        (endpoint(), 5.0, False),
        (endpoint(Status.ASSUMED), 1.0, True),
        (endpoint(Status.UNCHECKED), 1.0, False),
        (endpoint(Status.UNHEALTHY), 1.0, False),
        (endpoint(streak=1), 1.0, False),
        (endpoint(alive=False), 1.0, False),
        (endpoint(phase=Phase.EJECTED), 1.0, False),
        (endpoint(phase=Phase.PROBING), 1.0, False),
    ],
)
def test_who_is_spared(who: Endpoint, ago_s: float, spared: bool) -> None:
    """One that works and that nothing speaks against, until its last success is an interval old."""
    who.succeeded_at = 1000.0 - ago_s
    got_s = pacing.spared_s(who, RULE, 5.0, NEVER, 1000.0, Random(7))

    assert (got_s > 0) == spared
    if spared:
        assert 5.0 - ago_s <= got_s <= 6.0 - ago_s


def test_nobody_is_spared_without_the_setting() -> None:
    who = endpoint()
    who.succeeded_at = 1000.0

    assert pacing.spared_s(who, ProbeRule(5.0), 5.0, NEVER, 1000.0, Random(7)) == 0.0


def test_connections_stand_for_a_check_only_so_long() -> None:
    """Where a check asks more, it takes place in the end, and not for all endpoints at the same time."""
    rule = ProbeRule(5.0, passive_first=True, asks_more=True)
    rng, who = Random(7), endpoint()
    who.succeeded_at = 1000.0

    assert pacing.spared_s(who, rule, 5.0, 1001.0, 1000.0, rng) == 1.0
    assert pacing.spared_s(who, rule, 5.0, 1000.0, 1000.0, rng) == 0.0
    firsts = [pacing.first_proof_until(rule, 5.0, 1000.0, rng) - 1000.0 for _ in range(1000)]
    assert min(firsts) < 0.5 and max(firsts) > 9.5
    later = [pacing.proof_until(rule, 5.0, 1000.0, rng) - 1000.0 for _ in range(1000)]
    assert min(later) >= 8.0 and max(later) <= 12.0
    assert (
        pacing.proof_until(RULE, 5.0, 1000.0, rng) == NEVER == pacing.first_proof_until(RULE, 5.0, 0.0, rng)
    )


@pytest.mark.parametrize(
    "usual_s,want_s",
    [(0.5, 1.0), (5.0, 10.0), (50.0, 100.0), (200.0, 300.0), (300.0, 300.0), (3600.0, 3600.0)],
)
def test_how_long_connections_stand_for_a_check(usual_s: float, want_s: float) -> None:
    """Two intervals, but not above five minutes: a grown interval shall not hide a pod for long."""
    assert pacing.proof_s(usual_s) == pytest.approx(want_s)


@pytest.mark.parametrize("every_s", [0.1, 1.0, 4.0, 4.99, 10.0])
def test_looks_are_few(every_s: float) -> None:
    """However its connections come, a timer runs out twice in an interval at most."""
    rng, who = Random(7), endpoint()
    now, looks, arrivals = 0.0, 0, 0.0
    while now < 5000.0:
        looks += 1
        while arrivals <= now:
            who.succeeded_at, arrivals = arrivals, arrivals + rng.expovariate(1 / every_s)
        now += pacing.spared_s(who, RULE, 5.0, NEVER, now, rng) or pacing.pause_s(who, RULE, 5.0, rng)

    assert looks <= 2 * 1000


# --- the budget ---------------------------------------------------------------------------------


def test_slots() -> None:
    """Checks that are due together begin one after the other; an unused second is not saved up."""
    free_at, begins = float("-inf"), []
    for due in (0.0, 0.0, 0.0, 1.0, 1.0):
        begin, free_at = pacing.slot(free_at, due, RULE)
        begins.append(round(begin, 6))

    assert begins == [0.0, 0.05, 0.1, 1.0, 1.05]


def test_whose_turn_it_is() -> None:
    """Newcomers, then suspects and those that are down, then the others; these when they have waited long."""
    newcomer = endpoint(Status.UNCHECKED, alive=None)
    failing_newcomer = endpoint(Status.UNCHECKED, streak=1, alive=False)
    suspect, down, well = endpoint(alive=False), endpoint(Status.UNHEALTHY, alive=False), endpoint()
    assert pacing.turn(newcomer, 1000.0, 5.0) == BEFORE_ALL
    assert (
        pacing.turn(failing_newcomer, 1000.0, 5.0) == 1000.0
    )  # it must not keep others from their first one
    assert pacing.turn(suspect, 1000.0, 5.0) == pacing.turn(down, 1000.0, 5.0) == 1000.0
    assert pacing.turn(well, 1000.0, 5.0) == 1005.0

    assert pacing.turn(well, 1000.0, 5.0) < pacing.turn(suspect, 1006.0, 5.0)


def test_without_a_budget_nobody_waits() -> None:
    free_at = float("-inf")
    for _ in range(1000):
        begin, free_at = pacing.slot(free_at, 5.0, ProbeRule(5.0))
        assert begin == 5.0


# --- fleets -------------------------------------------------------------------------------------


def checks_of_one(
    rule: ProbeRule, pods: int, usual_s: float, until_s: float, seed: int
) -> list[tuple[float, int]]:
    """When one sidecar, started at 0, checks which of its pods: the policy, played through."""
    rng, who = Random(seed), endpoint(Status.ASSUMED, alive=None)
    timers = [(pacing.first_s(who, rule, usual_s, rng), pod) for pod in range(pods)]
    heapq.heapify(timers)
    free_at, checks = float("-inf"), []
    while (now := timers[0][0]) < until_s:
        begin, free_at = pacing.slot(free_at, now, rule)
        pod = timers[0][1]
        checks.append((begin, pod))
        heapq.heapreplace(timers, (begin + pacing.pause_s(who, rule, usual_s, rng), pod))
    return checks


def a_fleet_restarts(
    sidecars: int, pods: int, usual_s: float, until_s: float, rule: ProbeRule = RULE
) -> Counter[tuple[int, int]]:
    """Checks by (pod, second) of a fleet that starts in one instant."""
    seen: Counter[tuple[int, int]] = Counter()
    for seed in range(sidecars):
        for moment, pod in checks_of_one(rule, pods, usual_s, until_s, seed):
            seen[pod, int(moment)] += 1
    return seen


@pytest.mark.slow
def test_a_fleet_restart_is_no_burst() -> None:
    """1,000 sidecars start in one instant: no pod of 100 gets more than twice the mean in any second."""
    seen = a_fleet_restarts(1000, 100, 5.0, 21.0)
    whole = {(pod, second): count for (pod, second), count in seen.items() if second < 20}

    mean = sum(whole.values()) / (100 * 20)
    assert mean == pytest.approx(200.0, rel=0.05)
    assert max(whole.values()) <= 2 * mean
    assert min(whole[pod, second] for pod in range(100) for second in range(20)) >= mean / 2


@pytest.mark.slow
def test_a_fleet_that_knows_its_size_is_gentle() -> None:
    """With FLEET, a pod gets about two checks a second of 500 sidecars, spread over all the time."""
    usual_s = pacing.interval_s(RULE, Crowd(20, 20, 500))
    seen = a_fleet_restarts(500, 20, usual_s, 1000.0)

    assert sum(seen.values()) / (20 * 1000) == pytest.approx(2.0, rel=0.05)
    tens = Counter((pod, second // 10) for (pod, second), count in seen.items() for _ in range(count))
    assert max(tens.values()) <= 2.4 * 20  # 20 in ten seconds on average, by chance alone up to 45
