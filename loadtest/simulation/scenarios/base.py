"""What a scenario is: some plans, and what their results show."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from loadtest.simulation.fleet import simulate
from loadtest.simulation.measures import Result
from loadtest.simulation.plan import Plan

Results = Mapping[str, Result]
CHOICES = ("random", "round_robin", "least_connections", "p2c", "peak_ewma", "maglev")

CHEAP = CHOICES[:-1]  # maglev makes its table anew, in 10 ms, with each step of a slow start

LATENCY = ("total", "queued", "load", "busiest")
CARE = ("attempts", "failed")
QUIET = ("open", "probes", "dns")


class Show(NamedTuple):
    """What was promised, and whether it held in this run; None: it is only told."""

    said: str
    held: bool | None = None


def nothing(results: Results) -> list[Show]:
    return []


class Scenario(NamedTuple):
    """`plans`: what is run, by its label. `quick`: what a smaller run changes of each plan.

    `columns` and `panels` are named in report.py and drawing.py; `extra`: columns that its story reports.
    """

    about: str
    plans: Mapping[str, Plan]
    quick: Mapping[str, Any]
    shows: Callable[[Results], Sequence[Show]] = nothing
    columns: Sequence[str] = LATENCY
    extra: Sequence[str] = ()
    panels: Sequence[str] = ("latency", "shares", "p99_ms")
    run: Callable[[Plan, str], Result] = simulate


def for_each(balancers: Sequence[str], plan: Plan) -> dict[str, Plan]:
    return {balancer: replace(plan, balancer=balancer) for balancer in balancers}


def settings(plan: Plan, **variables: str) -> Plan:
    """The same with these settings on top."""
    return replace(plan, settings={**plan.settings, **variables})
