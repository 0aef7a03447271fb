"""What the simulator shows of large fleets, in small ones: Headway's promises, and where they end."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from loadtest.simulation import stories
from loadtest.simulation.fleet import simulate
from loadtest.simulation.measures import Result
from loadtest.simulation.plan import Plan
from loadtest.simulation.scenarios import SCENARIOS
from loadtest.simulation.scenarios.base import CHOICES

UNCHECKED = {"HEALTH_CHECK": "off"}

pytestmark = pytest.mark.slow


def small(scenario: str, label: str, **changed: Any) -> Result:
    """A run of the scenario's small fleet."""
    chosen = SCENARIOS[scenario]
    return chosen.run(replace(chosen.plans[label], **(dict(chosen.quick) | changed)), label)


def p99(results: Mapping[str, Result]) -> dict[str, float]:
    return {label: result.total_ms.p99 for label, result in results.items()}


def test_peak_ewma_avoids_slow_pods_and_p2c_their_queues() -> None:
    """At 70 % load, every tenth pod three times slower, each pod met by each sidecar every ten seconds."""
    runs = {
        each: small("slow-pods", each, sidecars=100, settings=UNCHECKED)
        for each in ("round_robin", "p2c", "peak_ewma")
    }

    assert p99(runs)["peak_ewma"] <= 0.5 * p99(runs)["round_robin"]
    assert p99(runs)["peak_ewma"] <= 0.7 * p99(runs)["p2c"]
    assert p99(runs)["p2c"] <= 0.5 * p99(runs)["round_robin"]
    assert runs["peak_ewma"].extra["slow_share"] < 0.6
    assert runs["round_robin"].extra["slow_share"] == pytest.approx(1.0, abs=0.02)


def test_who_meets_a_pod_too_seldom_does_not_know_its_latency() -> None:
    """Less than once in the half minute after which it is forgotten: the advice is SUBSET_SIZE."""
    plan = Plan(
        balancer="peak_ewma",
        sidecars=200,
        pods=20,
        slow_share=0.1,
        rate=0.3,
        utilisation=0.3,
        seconds=150,
        warm_up_s=60,
    )
    seldom = simulate(replace(plan, settings=UNCHECKED))
    subset = simulate(replace(plan, settings={"SUBSET_SIZE": "3", **UNCHECKED}))

    assert seldom.extra["slow_share"] > 0.8
    assert subset.extra["slow_share"] < 0.7


def test_a_fleet_that_restarts_does_not_check_in_step() -> None:
    """At no pod and in no second more than twice the mean; DNS is asked in step once only."""
    result = small("fleet-restart-all-checks", "idle", sidecars=400)

    assert result.probes_mean == pytest.approx(400 / 5, rel=0.05)
    assert result.probes_max <= 2 * result.probes_mean
    assert max(result.series["dns"][2:]) < 0.6 * result.dns_max


def test_steady_traffic_spares_the_checks() -> None:
    plan = Plan(sidecars=20, pods=5, rate=5.0, seconds=30, warm_up_s=10)

    assert simulate(plan).probes_mean < 0.1 * 20 / 5


@pytest.mark.parametrize("balancer", CHOICES)
def test_first_connections_land_on_many_pods(balancer: str) -> None:
    """Of 12 sidecars on at least 5 of 10 pods."""
    plan = SCENARIOS["first-connections"].plans[balancer]

    assert simulate(plan).extra["pods_reached"] >= 5


@pytest.mark.parametrize("balancer", CHOICES)
@pytest.mark.parametrize("scenario", ["scale-up", "scale-up-held"])
def test_a_new_pod_is_not_flooded(scenario: str, balancer: str) -> None:
    """It gets at most twice a fair share in its first seconds; with its slow start less than a whole one."""
    first = small(scenario, balancer, sidecars=8, rate=30.0).extra

    assert first["first_1_s"] <= 2.0
    assert first["first_5_s"] <= 0.7
    assert 0.1 < first["first_10_s"] <= 2.0


@pytest.mark.parametrize("balancer", CHOICES)
def test_a_pod_that_fails_fast_attracts_no_more_than_twice_its_share(balancer: str) -> None:
    """It is always the least busy and the quickest: only the ration of twice a share stops it."""
    result = small("erring-pod-few", balancer, seconds=35)

    assert result.extra["bad_later"] <= 2.1


@pytest.mark.parametrize("scenario", ["mute-pod", "mute-pod-few"])
@pytest.mark.parametrize("balancer,most", [("peak_ewma", 0.2), ("p2c", 2.1), ("least_connections", 2.1)])
def test_a_pod_that_gives_no_answer(balancer: str, most: float, scenario: str) -> None:
    """peak_ewma knows that it is not quick; whoever counts connections gives it twice its share at most."""
    result = small(scenario, balancer, seconds=35)

    assert result.extra["bad_later"] <= most


@pytest.mark.parametrize("balancer,within", [("p2c", 0.15), ("least_connections", 0.1), ("peak_ewma", 0.3)])
def test_held_connections_after_a_rolling_restart(balancer: str, within: float) -> None:
    """Two minutes after all pods were replaced, those who count connections have evened them out."""
    result = small("rolling-restart-held", balancer, sidecars=5, rate=10.0)

    assert 1 - within <= result.extra["fewest_open"] <= result.extra["most_open"] <= 1 + within


@pytest.mark.parametrize("balancer", CHOICES)
def test_a_pod_that_closes_at_once_is_left_alone(balancer: str) -> None:
    result = small("closing-pod-few", balancer, seconds=35)

    assert result.extra["bad_first_5_s"] < 0.3
    assert result.extra["bad_later"] < 0.02
    assert result.failed_share == 0


def test_subsets_use_all_pods_about_evenly() -> None:
    """1,000 sidecars on 100 pods: the larger the subset, the more even."""
    plan = Plan(sidecars=1000, pods=100, rate=0.0, seconds=8, warm_up_s=7, story=stories.users)
    spreads = []
    for size in (10, 20, 50):
        extra = simulate(replace(plan, settings={"SUBSET_SIZE": str(size), **UNCHECKED})).extra
        assert extra["users_mean"] == pytest.approx(10 * size)
        spreads.append(extra["users_most"] / extra["users_mean"])

    assert spreads == sorted(spreads, reverse=True)
    assert spreads[0] < 1.4 and spreads[-1] < 1.15


def test_a_dead_service_is_not_hammered() -> None:
    """The budget of a busy sidecar leaves 1.2 attempts per connection, and 10 more a second, of 3."""
    busy = small("dead-service", "50 connections", sidecars=5)

    assert busy.failed_share > 0.99
    assert busy.attempts_per_connection == pytest.approx(1 + 0.2 + 10 / 50, abs=0.1)


def test_a_rolling_restart_fails_no_connection() -> None:
    """Even when pods close their listener before DNS knows."""
    result = small("rolling-restart-abrupt", "p2c")

    assert result.failed_share == 0
    assert 1.0 < result.attempts_per_connection < 1.2
