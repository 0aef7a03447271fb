"""Large fleets, subsets, and first connections."""

from dataclasses import replace

from loadtest.simulation import stories
from loadtest.simulation.fleet import simulate
from loadtest.simulation.measures import Result
from loadtest.simulation.plan import Plan
from loadtest.simulation.scenarios.base import (
    CARE,
    CHOICES,
    LATENCY,
    QUIET,
    Results,
    Scenario,
    Show,
    for_each,
    settings,
)

LARGE = Plan(sidecars=10_000, pods=1_000, rate=2.0, seconds=40, warm_up_s=20, story=stories.users)
SMALL = {"sidecars": 1_000, "pods": 200}
FIRST = Plan(sidecars=12, pods=10, rate=0.0, warm_up_s=6, seconds=8, story=stories.first_connections)
FLEETS = 100  # seeds
REACHED = 5
OFTEN = 0.97  # 12 balls thrown into 10 bins at random lie in five or more in 99.7 % of all cases


def of_size(size: int, balancer: str = "p2c") -> Plan:
    return settings(replace(LARGE, balancer=balancer), SUBSET_SIZE=str(size))


def first_pods(plan: Plan, label: str) -> Result:
    """Of many fleets: the last one's result, with what all of them reached."""
    fleets = [simulate(replace(plan, seed=plan.seed + number), label) for number in range(FLEETS)]
    reached = sorted(each.extra["pods_reached"] for each in fleets)
    enough = sum(each >= REACHED for each in reached)
    fleets[-1].extra = {
        "least": reached[0],
        "mean": sum(reached) / FLEETS,
        "share_with_5": enough / FLEETS,
    }
    return fleets[-1]


def on_five(results: Results) -> list[Show]:
    return [
        Show(
            f"{label}: on {each.extra['mean']:.1f} of 10 pods on average, on {each.extra['least']:.0f} at "
            f"least; on 5 or more in {each.extra['share_with_5']:.0%} of the fleets",
            each.extra["share_with_5"] >= OFTEN,
        )
        for label, each in results.items()
    ]


SCENARIOS = {
    "first-connections": Scenario(
        f"12 sidecars start together and make one connection each, to 10 pods; {FLEETS} such fleets.",
        {**for_each(CHOICES, FIRST), "maglev, one key for all": replace(FIRST, balancer="maglev", clients=1)},
        {},
        on_five,
        columns=(),
        extra=("least", "mean", "share_with_5"),
        panels=(),
        run=first_pods,
    ),
    "subset": Scenario(
        "10,000 sidecars that use 10, 20 or 50 of 1,000 pods.",
        {f"{size}": of_size(size) for size in (10, 20, 50)},
        SMALL,
        columns=(*LATENCY, *QUIET),
        extra=("users_mean", "users_most"),
    ),
    "large": Scenario(
        "10,000 sidecars, 1,000 pods of which a tenth is slow, SUBSET_SIZE=20.",
        {each: replace(of_size(20, each), slow_share=0.1) for each in ("round_robin", "p2c", "peak_ewma")},
        SMALL,
        columns=(*LATENCY, *QUIET, *CARE),
    ),
}
