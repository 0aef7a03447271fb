"""What becomes of the load when pods or sidecars come and go."""

from dataclasses import replace
from functools import partial

from loadtest.simulation import stories
from loadtest.simulation.plan import Plan
from loadtest.simulation.scenarios.base import (
    CARE,
    CHEAP,
    CHOICES,
    LATENCY,
    QUIET,
    Results,
    Scenario,
    Show,
    for_each,
    settings,
)

ROLLOUT = Plan(sidecars=200, pods=50, rate=5.0, seconds=90, warm_up_s=20)
SCALE_UP = Plan(pods=10, seconds=60, warm_up_s=20, utilisation=0.6, story=stories.scale_up)
SMALL_ROLLOUT = {"sidecars": 40, "pods": 10}
EVENNESS = ("fewest_open", "most_open")
NEWCOMER = ("comes_after_s", "first_1_s", "first_5_s", "first_10_s", "most_in_a_second")
FAIR_TIMES = 2.0
EVEN = 0.75  # one that lacks less than a quarter is no reason to close others
FIRST_POLLS_S = 2

COMPANY = Plan(
    sidecars=50,
    pods=10,
    rate=0.0,
    hold_s=1e6,
    seconds=900,
    warm_up_s=10,
    story=partial(stories.company, 150, 5),
)
MOVING = settings(COMPANY, REBALANCE="10%")

RESTART = Plan(balancer="p2c", rate=0.0, seconds=40, warm_up_s=0, starts_within_s=1.0)
RESTARTS = {
    "idle": RESTART,
    "idle, FLEET known": replace(RESTART, fleet_known=True, seconds=120),
    "busy": replace(RESTART, rate=50.0, utilisation=0.5),
    "busy, 1 conn/s": replace(RESTART, rate=1.0, utilisation=0.5),
}


def newcomers(results: Results) -> list[Show]:
    """The promise of the design: at most twice a fair share."""
    return [
        Show(
            f"{label}: the new pod gets {result.extra['first_10_s']:.2f} of a fair share in its first 10 s, "
            f"{result.extra['most_in_a_second']:.2f} in its busiest second",
            result.extra["first_10_s"] <= FAIR_TIMES,
        )
        for label, result in results.items()
    ]


def evened_out(results: Results) -> list[Show]:
    """The promise of REBALANCE; with `random` luck has its part."""
    return [
        Show(
            f"{label}: the emptiest pod holds {result.extra['fewest_open']:.2f} of its share, the fullest "
            f"{result.extra['most_open']:.2f}; {result.extra['closed']:.0%} were closed",
            result.extra["fewest_open"] >= EVEN if label not in ("off", "random") else None,
        )
        for label, result in results.items()
    ]


def spread_out(results: Results) -> list[Show]:
    shows = []
    idle = results["idle"].probes_mean
    for label, result in results.items():
        # The promise is about idle ones. Busy ones are like them at first, and spare nearly all checks later:
        # then a second with three is no crowd, nor one with six where FLEET makes two the mean.
        mean, most = result.probes_mean, result.probes_max
        held = None if label.startswith("idle,") else most <= 2 * idle
        than = "" if held is None else f" (twice what idle ones make: {2 * idle:.0f})"
        shows.append(Show(f"{label}: {mean:.1f} checks a second per pod, {most} at most{than}", held))
        later = max(result.series["dns"][FIRST_POLLS_S:])
        shows.append(
            Show(
                f"{label}: {result.dns_mean:.0f} DNS queries a second; {result.dns_max} in the first one, as "
                f"every sidecar begins with a poll, later {later:.0f} at most"
            )
        )
    return shows


SCENARIOS = {
    "rolling-restart": Scenario(
        "All pods are replaced within 40 s, a tenth at a time. The old ones serve for 15 s more (preStop).",
        for_each(CHEAP, replace(ROLLOUT, story=partial(stories.rolling_restart, 15.0))),
        SMALL_ROLLOUT,
        columns=(*LATENCY, *CARE),
    ),
    "rolling-restart-abrupt": Scenario(
        "The same with pods that close their listener at once, before DNS knows.",
        for_each(CHEAP, replace(ROLLOUT, story=partial(stories.rolling_restart, 0.0))),
        SMALL_ROLLOUT,
        columns=(*LATENCY, *CARE),
    ),
    "rolling-restart-held": Scenario(
        "All pods are replaced while connections stay open for five minutes; what each pod holds two minutes "
        "later, the mean is 1.",
        for_each(
            CHEAP,
            replace(
                ROLLOUT,
                sidecars=100,
                pods=20,
                rate=4.0,
                utilisation=0.1,
                hold_s=300.0,
                seconds=400,
                warm_up_s=240,
                story=partial(stories.rolling_restart, 15.0),
            ),
        ),
        {"sidecars": 20},
        columns=(*LATENCY[:1], "busiest", "open", *CARE),
        extra=EVENNESS,
    ),
    "scale-up": Scenario(
        "An eleventh pod comes to ten; 100 sidecars with 10 short connections a second each.",
        for_each(CHOICES, replace(SCALE_UP, sidecars=100)),
        {"sidecars": 50},
        newcomers,
        columns=LATENCY[:1],
        extra=NEWCOMER,
        panels=("newcomer", "p99_ms"),
    ),
    "scale-up-few": Scenario(
        "The same with three sidecars of 400 connections a second each: each has many under way.",
        for_each(CHOICES, replace(SCALE_UP, sidecars=3, rate=400.0, slots=50)),
        {"rate": 150.0},
        newcomers,
        columns=LATENCY[:1],
        extra=NEWCOMER,
        panels=("newcomer", "p99_ms"),
    ),
    "scale-up-held": Scenario(
        "The same with 20 sidecars whose connections stay open for a minute.",
        for_each(CHOICES, replace(SCALE_UP, sidecars=20, rate=50.0, hold_s=60.0, seconds=180, warm_up_s=120)),
        {"sidecars": 10},
        newcomers,
        columns=(*LATENCY[:1], "open"),
        extra=NEWCOMER,
        panels=("newcomer", "p99_ms"),
    ),
    "scale-up-rebalanced": Scenario(
        "Five pods come to ten; 50 sidecars hold 150 connections each. What each pod holds a quarter of an "
        "hour later, the mean is 1, and what part of all was closed for that, with REBALANCE=10%.",
        {"off": COMPANY, **for_each(CHEAP, MOVING)},
        {"sidecars": 5},
        evened_out,
        columns=("open",),
        extra=(*EVENNESS, "closed"),
        panels=("shares",),
    ),
    "fleet-restart": Scenario(
        "All sidecars start within one second.",
        RESTARTS,
        {"sidecars": 200, "pods": 20},
        spread_out,
        columns=QUIET,
        panels=("probes", "dns"),
    ),
    "fleet-restart-all-checks": Scenario(
        "The same with HEALTH_PASSIVE_FIRST=false and no budget: the worst a fleet can do.",
        {"idle": settings(RESTART, HEALTH_PASSIVE_FIRST="false", HEALTH_BUDGET="0")},
        {"sidecars": 200, "pods": 20},
        spread_out,
        columns=QUIET,
        panels=("probes", "dns"),
    ),
}
