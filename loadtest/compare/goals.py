"""What Headway's native relay is to reach, and whether it did."""

from collections.abc import Iterator, Sequence

import msgspec

from loadtest.compare.arithmetic import Summary
from loadtest.compare.measures import MEASURES
from loadtest.compare.results import Results

PEERS = ("haproxy", "nginx", "envoy")


class Goal(msgspec.Struct, frozen=True):
    """A bound on a ratio to the best of some peers, on what it is above another, or on the value itself."""

    workload: str
    measure: str
    bound: float
    to: tuple[str, ...] = PEERS
    subject: str = "headway-native"
    above: str = ""


class Verdict(msgspec.Struct, frozen=True):
    goal: Goal
    reached: float
    held: bool


GOALS = (
    Goal("kept-1", "cpu_us", 0.95),
    Goal("kept-1", "p99_us", 1.0),
    Goal("kept-64", "cpu_us", 0.95),
    Goal("kept-64", "p99_us", 1.0),
    Goal("kept-64", "rate", 0.9),
    Goal("kept-64", "rate", 1.0, subject="headway-spin"),
    Goal("download", "cpu_s_gib", 0.9),
    Goal("download", "gb_s", 1.0),
    Goal("upload", "cpu_s_gib", 0.9),
    Goal("upload", "gb_s", 1.0),
    Goal("new", "cpu_us", 1.3, to=("haproxy", "nginx")),
    Goal("new", "cpu_us", 1.0, to=("envoy",)),
    Goal("new", "p99_us", 1.0, to=("envoy",)),
    Goal("idle", "kib_each", 1.0, to=("haproxy",)),
    Goal("idle", "kib_each", 2.0, to=()),
    Goal("idle", "idle_mib", 44.0, to=()),
    # Stalls of 1.5 ms a second are already seen in this quantile; the longest of all is often the machine's.
    # HAProxy relays beside the same work, done by another process: what it is late by, the cores are.
    Goal("stalls", "p999_us", 1000.0, to=(), above="haproxy"),
)


def verdicts(results: Results, goals: Sequence[Goal] = GOALS) -> Iterator[Verdict]:
    """Those that were measured; peers that were not take no part."""
    for goal in goals:
        found = _reached(results, goal)
        if found is not None:
            yield Verdict(goal, found.median, _holds(goal, found.median))


def _reached(results: Results, goal: Goal) -> Summary | None:
    what = goal.workload, goal.subject, goal.measure
    if goal.above:
        return results.above(*what, goal.above)
    return results.ratio_to_best(*what, goal.to) if goal.to else results.value(*what)


def _holds(goal: Goal, reached: float) -> bool:
    return reached <= goal.bound if MEASURES[goal.measure].lower_is_better else reached >= goal.bound
