"""The comparison's own arithmetic: a wrong quantile or ratio would make every table a lie."""

from collections.abc import Sequence

import pytest

from loadtest.compare.arithmetic import Histogram, quantile, ratios, summary, two_digits
from loadtest.compare.campaign import held_at_most
from loadtest.compare.generator import Outcome
from loadtest.compare.goals import Goal, verdicts
from loadtest.compare.results import Results
from loadtest.compare.runs import Run, measures_of

THOUSAND = Histogram(max=1000, counts=[(value, 1) for value in range(1, 1001)])
LUMPS = Histogram(max=95, counts=[(10, 98), (99, 2)])
NONE = Histogram(max=0, counts=[])


@pytest.mark.parametrize(
    ("histogram", "share", "want"),
    [
        (THOUSAND, 0.5, 500),
        (THOUSAND, 0.99, 990),
        (THOUSAND, 0.999, 999),
        (THOUSAND, 1.0, 1000),
        (LUMPS, 0.98, 10),
        (LUMPS, 0.99, 95),  # never more than what was really seen
        (NONE, 0.99, 0),
    ],
)
def test_a_quantile_is_what_that_share_did_not_exceed(
    histogram: Histogram, share: float, want: float
) -> None:
    """The upper end of its bucket, so that no latency is called better than it was."""
    assert quantile(histogram, share) == want


def test_a_summary_has_the_middle_and_the_quartiles() -> None:
    """One turn that went wrong does not widen it; a single one is all there is."""
    assert summary([3.0, 1.0, 2.0, 99.0, 4.0]) == (3.0, 2.0, 4.0)
    assert summary([4.0, 1.0, 2.0, 3.0]) == (2.5, 1.75, 3.25)
    assert summary([4.0]) == (4.0, 4.0, 4.0)


def test_ratios_are_taken_within_a_turn() -> None:
    """A turn in which the whole machine was twice as slow does not count; one without a base is left out."""
    ours, theirs = {0: 10.0, 1: 20.0, 2: 7.0, 3: 5.0}, {0: 20.0, 1: 40.0, 3: 0.0}

    assert ratios(ours, theirs) == [0.5, 0.5]


@pytest.mark.parametrize(("value", "want"), [(31_415.0, 31_000.0), (0.0526, 0.053), (9_990.0, 10_000.0)])
def test_a_rate_is_rounded_to_two_digits(value: float, want: float) -> None:
    """The rate that everyone gets is one that people can repeat."""
    assert two_digits(value) == want


@pytest.mark.parametrize(
    ("descriptors", "want"), [(20_000, 9_000), (1_048_576, 9_000), (4_096, 1_048), (64, 1)]
)
def test_as_many_idle_connections_as_descriptors_allow(descriptors: int, want: int) -> None:
    """A proxy has two for each connection."""
    assert held_at_most(descriptors, 9_000) == want


def outcome(requests: int, bytes_: int) -> Outcome:
    latency = Histogram(max=2_000_000, counts=[(1_000_000, requests)]) if requests else NONE
    return Outcome(2.0, requests, bytes_, 0, 0, 0, 0.5, [], latency, NONE)


def test_cost_is_the_proxys_time_over_the_work_done() -> None:
    """3 ms for 1,000 requests are 3 µs each; half a second for half a GiB is one for each."""
    small = measures_of(outcome(requests=1000, bytes_=0), cpu_s=0.003)
    bulk = measures_of(outcome(requests=0, bytes_=1 << 29), cpu_s=0.5)

    assert (small["cpu_us"], small["rate"], small["p99_us"]) == (3.0, 500.0, 1000.0)
    assert (bulk["cpu_s_gib"], bulk["gb_s"]) == (1.0, (1 << 29) / 2e9)


def test_a_direct_connection_has_no_cost() -> None:
    """It is not said to be 0: there is no proxy whose time could be taken."""
    assert "cpu_us" not in measures_of(outcome(requests=1000, bytes_=0), cpu_s=None)


def runs(subject: str, values: Sequence[float], measure: str = "cpu_us") -> list[Run]:
    return [Run("kept-1", subject, {measure: value}, number) for number, value in enumerate(values)]


def test_results_compare_turn_by_turn() -> None:
    """The median of ratios, which need not be the ratio of medians."""
    results = Results([*runs("haproxy", [10, 20, 40]), *runs("headway-native", [5, 20, 30])], "haproxy")

    assert results.ratio("kept-1", "headway-native", "cpu_us") == (0.75, 0.625, 0.875)
    assert results.value("kept-1", "headway-native", "cpu_us") == (20, 12.5, 25)
    assert results.ratio("kept-1", "envoy", "cpu_us") is None


def test_a_goal_is_against_the_one_that_is_hardest_to_beat() -> None:
    """Of those who took part, over all turns: not against whom luck favoured in each. Less CPU is better, and
    more requests are."""
    found = Results(
        [
            *runs("haproxy", [10, 10, 6]),
            *runs("nginx", [20, 5, 10]),
            *runs("headway-native", [9, 9, 9]),
            *runs("haproxy", [100, 100], "rate"),
            *runs("headway-native", [95, 95], "rate"),
        ],
        "haproxy",
    )
    goals = [
        Goal("kept-1", "cpu_us", 0.95),
        Goal("kept-1", "cpu_us", 0.85),
        Goal("kept-1", "rate", 0.9),
        Goal("kept-1", "rate", 1.0),
        Goal("kept-1", "cpu_us", 9.0, to=()),
        Goal("kept-1", "cpu_us", -3.0, to=(), above="haproxy"),
        Goal("kept-64", "cpu_us", 1.0),
    ]
    reached = [(round(each.reached, 3), each.held) for each in verdicts(found, goals)]

    assert reached == [(0.9, True), (0.9, False), (0.95, True), (0.95, False), (9, True), (-1, False)]


def test_what_may_have_gone_wrong_is_said() -> None:
    """A failure, errors, a generator that could do no more, a busy machine, a late generator."""
    results = Results(
        [
            Run("kept-1", "nginx", {}, failed="it ended"),
            Run("kept-1", "envoy", {}, 1, errors=3),
            Run("kept-1", "direct", {}, generator_share=0.99),
            Run("open", "direct", {}, other_cores=0.5, notes={"late_p99_us": 2500.0}),
        ],
        "haproxy",
    )
    said = list(results.warnings())

    assert said[:3] == [
        "kept-1, nginx, turn 1 failed: it ended",
        "kept-1, envoy, turn 2: 3 errors",
        "The generator was busy all the time, so the rate is its own: kept-1 direct.",
    ]
    assert said[3].startswith("Other processes used 0.50 cores (at most 0.50) in 1 of 4 runs")
    assert "1 runs at a fixed rate" in said[4] and "at worst 2 ms" in said[4]
