"""Who waits how long: pods that are alike, slow ones among them, bursts, long connections."""

from collections.abc import Sequence
from dataclasses import replace

from loadtest.simulation.measures import Result
from loadtest.simulation.plan import Plan
from loadtest.simulation.scenarios.base import CHOICES, LATENCY, Results, Scenario, Show, for_each, settings

FLEET = Plan(seconds=90, warm_up_s=45)  # an overload while nothing is known yet takes long to clear
MIDDLE = replace(FLEET, sidecars=300, pods=30, rate=3.0)  # each meets a pod as often as in the large fleet
MAGLEV = replace(MIDDLE, balancer="maglev")
KEYS = {
    "many clients": MAGLEV,
    "HASH_KEY=pod": settings(replace(MAGLEV, clients=0), HASH_KEY="pod"),
}
SLOW, SLOW_MIDDLE = replace(FLEET, slow_share=0.1), replace(MIDDLE, slow_share=0.1)
SMALL = {"sidecars": 200, "pods": 20, "rate": 2.0}
ADAPTIVE = ("round_robin", "p2c", "peak_ewma")
UTILISATIONS = (0.2, 0.35, 0.5, 0.7, 0.85)
SIDECARS = (20, 100, 400, 2000, 10_000)
SLOW_SHARE = ("slow_share",)
PER_POD = 100.0  # connections a second, whoever makes them


def p99(result: Result) -> float:
    return result.total_ms.p99


def order_of_three(results: Results) -> list[Show]:
    robin, p2c, ewma = (p99(results[each]) for each in ADAPTIVE)
    return [
        Show(
            f"p99 of peak_ewma is {ewma / robin:.0%} of round_robin's (promised: at most 50 %)",
            ewma <= robin / 2,
        ),
        Show(f"p2c is between them ({p2c / robin:.0%})", ewma <= p2c <= robin),
    ]


def grid() -> dict[str, Plan]:
    small = settings(replace(SLOW, pods=20, seconds=150, warm_up_s=90), HEALTH_CHECK="off", DNS_INTERVAL="1m")
    return {
        f"{balancer} u={utilisation:g} r={PER_POD / sidecars:g}": replace(
            small,
            balancer=balancer,
            utilisation=utilisation,
            sidecars=sidecars,
            rate=PER_POD * small.pods / sidecars,
        )
        for utilisation in UTILISATIONS
        for sidecars in SIDECARS
        for balancer in ADAPTIVE
    }


def where_it_holds(results: Results) -> list[Show]:
    """For each load and rate: the p99 of both as shares of round_robin's."""
    shows = []
    for label in results:
        balancer, _, place = label.partition(" ")
        if balancer == "round_robin":
            ewma, p2c = (
                p99(results[f"{each} {place}"]) / p99(results[label]) for each in ("peak_ewma", "p2c")
            )
            shows.append(Show(f"{place}: p99 of p2c {p2c:.0%}, of peak_ewma {ewma:.0%} of round_robin's"))
    return shows


def subsets(balancers: Sequence[str], plan: Plan, sizes: Sequence[int]) -> dict[str, Plan]:
    return {
        f"{balancer} of {size or plan.pods}": settings(
            replace(plan, balancer=balancer), SUBSET_SIZE=str(size)
        )
        for balancer in balancers
        for size in sizes
    }


SCENARIOS = {
    "even": Scenario(
        "All pods are alike; 70 % of their slots are busy on average.",
        for_each(CHOICES, MIDDLE),
        SMALL,
    ),
    "keys": Scenario(
        "The pods that maglev chooses by the addresses of many clients, and by the name of the pod it is in.",
        KEYS,
        SMALL,
        panels=("latency", "shares"),
    ),
    "slow-pods": Scenario(
        "One pod of ten takes three times as long; 70 % of what all can do is asked for, so that an equal "
        "share is twice what a slow pod can do.",
        for_each(CHOICES, SLOW),
        SMALL,
        order_of_three,
        extra=SLOW_SHARE,
    ),
    "slow-pods-half": Scenario(
        "The same at 35 %: an equal share is just what a slow pod can do.",
        for_each(CHOICES, replace(SLOW_MIDDLE, utilisation=0.35)),
        SMALL,
        extra=SLOW_SHARE,
    ),
    "slow-pods-lognormal": Scenario(
        "As slow-pods, with log-normal service times.",
        for_each(CHOICES, replace(SLOW_MIDDLE, service="lognormal")),
        SMALL,
        order_of_three,
        extra=SLOW_SHARE,
    ),
    "slow-pods-grid": Scenario(
        "As slow-pods; 20 pods with 100 connections a second each, made by 20 to 10,000 sidecars: at which "
        "utilisation (u), and how many connections of a sidecar to a pod a second (r), does latency tell?",
        grid(),
        {"seconds": 60, "warm_up_s": 30},
        where_it_holds,
        extra=SLOW_SHARE,
        panels=("grid",),
    ),
    "slow-pods-subset": Scenario(
        "As slow-pods with one connection of each sidecar a second: too few per pod to know its latency by. "
        "With SUBSET_SIZE each sidecar meets fewer pods more often.",
        subsets(ADAPTIVE, replace(SLOW, rate=1.0), (0, 20, 10, 5)),
        {"sidecars": 200, "pods": 50},
        extra=SLOW_SHARE,
    ),
    "bursts": Scenario(
        "As slow-pods; connections come 20 at a time from one sidecar.",
        for_each(CHOICES, replace(SLOW_MIDDLE, burst=20.0)),
        SMALL,
        extra=SLOW_SHARE,
    ),
    "held": Scenario(
        "Connections are kept open for 60 s after they were served, on average; one pod of ten is slow.",
        for_each(
            CHOICES, replace(SLOW, sidecars=200, pods=20, rate=5.0, hold_s=60.0, seconds=180, warm_up_s=90)
        ),
        {"sidecars": 50, "pods": 10, "seconds": 120, "warm_up_s": 60},
        columns=(*LATENCY, "open"),
        extra=SLOW_SHARE,
    ),
}
