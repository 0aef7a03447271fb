"""The simulated part behaves as queues and fleets are known to."""

from dataclasses import replace
from math import factorial
from random import Random

import pytest

from loadtest.simulation.fleet import Fleet, simulate
from loadtest.simulation.names import Names
from loadtest.simulation.plan import Plan
from loadtest.simulation.pods import BACKLOG, RTT_S, Mode, Pod
from loadtest.simulation.timeline import Process, Timeline
from loadtest.simulation.traffic import SERVICE_TIMES, burst_size
from proxy.errors import ConnectTimeout
from proxy.model import Identity
from tests.support.fleet import Stage, address

TINY = Plan(sidecars=20, pods=5, rate=5.0, seconds=20, warm_up_s=8)


def test_processes_wake_in_the_order_of_their_times() -> None:
    timeline, seen = Timeline(), list[tuple[str, float]]()

    def sleeper(name: str, *naps: float) -> Process:
        for nap in naps:
            yield nap
            seen.append((name, timeline.now()))

    timeline.begin(sleeper("slow", 2.0, 2.0))
    timeline.begin(sleeper("quick", 1.0, 2.0))
    timeline.run(3.5)

    assert seen == [("quick", 1.0), ("slow", 2.0), ("quick", 3.0)]


def test_whoever_ends_when_woken_early_is_not_woken_again() -> None:
    timeline, woken = Timeline(), list[float]()

    def sleeper() -> Process:
        yield 10.0
        woken.append(timeline.now())

    process = sleeper()
    timeline.begin(process)
    timeline.wake(process, 3.0)
    timeline.run(20.0)

    assert woken == [3.0]


def erlang_wait_s(slots: int, rate: float, mean_s: float) -> float:
    """The mean wait of M/M/c (Erlang, 1917)."""
    load = rate * mean_s
    last = load**slots / factorial(slots) * slots / (slots - load)
    waits = last / (sum(load**k / factorial(k) for k in range(slots)) + last)
    return waits * mean_s / (slots - load)


@pytest.mark.parametrize(("slots", "utilisation"), [(1, 0.5), (4, 0.7), (8, 0.7)])
def test_a_pod_makes_its_clients_wait_as_erlang_says(slots: int, utilisation: float) -> None:
    rng, mean_s, count = Random(1), 0.05, 60_000
    rate = utilisation * slots / mean_s
    pod = Pod(0, slots, 1.0, seconds=int(2 * count / rate))
    draw = SERVICE_TIMES["exponential"](mean_s)

    now = waited_s = 0.0
    for _ in range(count):
        now += rng.expovariate(rate)
        waited_s += pod.meet(now, draw(rng), 1.0).queued_s

    assert waited_s / count == pytest.approx(erlang_wait_s(slots, rate, mean_s), rel=0.15)


@pytest.mark.parametrize("model", SERVICE_TIMES)
def test_service_times_have_the_mean_that_was_asked_for(model: str) -> None:
    draw, rng = SERVICE_TIMES[model](0.2), Random(3)

    assert sum(draw(rng) for _ in range(40_000)) / 40_000 == pytest.approx(0.2, rel=0.05)


@pytest.mark.parametrize("mean", [1.0, 20.0])
def test_bursts_have_the_size_that_was_asked_for(mean: float) -> None:
    rng = Random(3)
    sizes = [burst_size(mean, rng) for _ in range(20_000)]

    assert min(sizes) >= 1
    assert sum(sizes) / len(sizes) == pytest.approx(mean, rel=0.05)


def test_a_pod_whose_backlog_is_full_lets_connects_time_out() -> None:
    pod = Pod(0, 1, 1.0, seconds=10)
    met = [pod.meet(0.0, 1.0, 2.5) for _ in range(BACKLOG + 5)]

    assert met[BACKLOG - 1].error is None
    assert isinstance(met[-1].error, ConnectTimeout)
    assert met[-1].after_s == 2.5


def test_a_slow_pod_takes_so_many_times_as_long() -> None:
    assert Pod(0, 1, 3.0, 1).meet(0.0, 1.0, 1.0).after_s == pytest.approx(RTT_S + 3.0)


def test_the_same_seed_makes_the_same_fleet() -> None:
    one, same, other = (simulate(replace(TINY, seed=seed)) for seed in (1, 1, 2))

    assert one.total_ms == same.total_ms and one.shares == same.shares and one.events == same.events
    assert one.total_ms != other.total_ms


@pytest.mark.slow
@pytest.mark.parametrize(("slow_share", "busy"), [(0.0, 0.4), (0.2, 0.485)])
def test_the_load_is_what_was_asked_for(slow_share: float, busy: float) -> None:
    """40 % of what all pods can do. A slow one can do a third, and round robin gives it as much as others:
    it is at 0.4 * 13/15 * 3, they are at 0.4 * 13/15.
    """
    plan = replace(TINY, utilisation=0.4, slow_share=slow_share, seconds=120, balancer="round_robin")
    result = simulate(plan)

    assert result.connections == pytest.approx(20 * 5.0 * 112, rel=0.05)
    assert result.busy_mean == pytest.approx(busy, rel=0.15)


def test_a_part_of_the_answer_is_all_that_a_subset_needs() -> None:
    """The pool chooses the same endpoints of the part as of the whole."""
    names = Names(Timeline(), 0.0, 5.0, seconds=1)
    whole = Stage(200, BALANCER="p2c", SUBSET_SIZE="10")
    part = Stage(0, BALANCER="p2c", SUBSET_SIZE="10")
    names._true = whole_answer = names.ask(0.0)
    assert not whole_answer.endpoints
    timeline = names._timeline
    names.tell([Pod(number, 1, 1.0, 1) for number in range(200)], at_once=True)
    timeline.run(0.5)
    answer = names.ask_subset(0.5, "", 10)
    part.pool.apply(answer)

    assert len(answer.endpoints) == 20
    assert chosen(part) == chosen(whole)
    for number in (2, 7, 3):  # and when some of them fail
        for stage in (whole, part):
            victim = stage.pool.active[number].identity
            stage.check(Stage.number(stage.pool.active[number]), False, False, False)
            assert victim in {each.identity for each in stage.pool.active}
    assert chosen(part) == chosen(whole)


def chosen(stage: Stage) -> set[Identity]:
    return {each.identity for each in stage.pool.active}


def test_dns_learns_of_pods_late_and_its_cache_later() -> None:
    timeline = Timeline()
    names = Names(timeline, lag_s=1.0, ttl_s=5.0, seconds=20)
    pods = [Pod(number, 1, 1.0, 1) for number in range(3)]
    names.tell(pods, at_once=True)
    timeline.run(0.0)
    assert len(names.ask(0.0).endpoints) == 3
    pods[0].wanting = False
    names.tell(pods)
    timeline.run(4.9)
    assert len(names.ask(4.9).endpoints) == 3
    assert set(names.ask(5.0).endpoints) == {Identity(address(1)), Identity(address(2))}


def test_connections_that_a_pod_holds_are_made_anew_when_it_ends() -> None:
    def story(fleet: Fleet) -> Process:
        yield 10.0
        lost = len(fleet.pods[0].held)
        attempts = sum(pod.attempts for pod in fleet.pods)
        fleet.end_pod(fleet.pods[0])
        yield 0.0001
        assert lost > 10
        assert not fleet.pods[0].held
        assert fleet.pods[0].open <= fleet.plan.slots  # those under way are served
        assert sum(pod.attempts for pod in fleet.pods) >= attempts + lost

    Fleet(replace(TINY, hold_s=60.0, story=story)).run()


@pytest.mark.parametrize("mode", [Mode.REFUSING, Mode.CLOSING, Mode.SILENT])
def test_no_client_sees_one_bad_pod(mode: Mode) -> None:
    def story(fleet: Fleet) -> Process:
        yield 10.0
        fleet.pods[0].mode = mode

    result = simulate(replace(TINY, story=story))

    assert result.failed_share == 0
    assert result.attempts_per_connection > 1
