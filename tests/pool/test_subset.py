"""SUBSET_SIZE: each client pod uses a few endpoints, a fleet of them uses all alike."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import Refused
from proxy.model import Answer, AnswerKind, Identity, Listed
from proxy.observe.counters import ServiceCounters
from proxy.policy.endpoint import Endpoint
from proxy.pool import Pool
from proxy.pool.tiers import name_of
from tests.support.fleet import Stage, address, answer


class Client(Stage):
    """One pod of the fleet of clients."""

    def __init__(self, pods: int, size: int, name: str = "web-1", **variables: str) -> None:
        super().__init__(0, 7, SUBSET_SIZE=str(size), **variables)
        self.pool = Pool(self.settings, ServiceCounters(), self.clock, self.rng, name)
        if pods:
            self.answer(*range(pods))

    @property
    def subset(self) -> set[int]:
        return self.numbers(self.pool.active)


def test_only_the_subset_is_used() -> None:
    """Connections go to three of ten pods; the others stand by, and are said to."""
    client = Client(10, 3)

    assert len(client.subset) == 3
    assert client.served_by() == client.subset
    assert Counter(client.states()) == {"ready": 3, "standby": 7}


def test_zero_is_all() -> None:
    assert Client(10, 0).subset == set(range(10))


def test_more_than_there_are() -> None:
    """A subset of fifty of three pods is the three."""
    assert Client(3, 50).subset == {0, 1, 2}


def test_the_same_pod_chooses_the_same() -> None:
    """A restart of the sidecar changes nothing, nor does the order of DNS; another pod chooses others."""
    first, again = Client(20, 5), Client(0, 5)
    again.answer(*reversed(range(20)))

    assert first.subset == again.subset
    assert len({frozenset(Client(20, 5, f"web-{n}").subset) for n in range(20)}) > 15


@given(pods=st.sets(st.integers(0, 60), min_size=1), other=st.integers(0, 60), size=st.integers(1, 10))
def test_a_change_of_one_pod_changes_one_place(pods: set[int], other: int, size: int) -> None:
    """When one pod comes or goes, at most one member of the subset is exchanged."""
    client = Client(0, size)
    client.answer(*pods)
    before = client.subset
    client.answer(*(pods ^ {other} or {other}))
    after = client.subset

    assert len(before - after) <= 1
    assert len(after - before) <= 1


def test_a_fleet_uses_all_alike() -> None:
    """A thousand clients with ten pods each, of a hundred: each pod is used by about a hundred clients."""
    used = Counter(number for n in range(1_000) for number in Client(100, 10, f"web-{n}").subset)

    assert len(used) == 100
    assert 60 < min(used.values()) <= max(used.values()) < 145  # binomial: 100 ± 9.5


@pytest.mark.parametrize("trouble", ["checks", "connections"])
def test_it_tops_itself_up(trouble: str) -> None:
    """While members fail, others stand in; the failing ones remain, to be checked, and come back."""
    client = Client(10, 3)
    before = client.subset
    number = min(before)
    if trouble == "checks":
        client.check(number, False, False, False)
    else:
        client.fail(number, times=3)

    assert client.subset > before
    assert len(client.subset) == 4
    assert len(client.served_by()) == 3

    if trouble == "checks":
        client.check(number, True, True)
    else:
        client.clock.advance(6)
        client.succeed(number)
    assert client.subset == before


def test_no_traffic_is_needed_to_top_up() -> None:
    """Whoever follows the subset, as the prober does, hears of it with the verdict, not at the next pick."""
    client = Client(10, 2)
    heard: list[set[int]] = []
    client.pool.on_members_changed = lambda: heard.append(client.subset)
    number = min(client.subset)
    client.check(number, False, False, False)

    assert heard == [client.subset]
    assert len(client.subset) == 3


def test_all_of_the_subset_fail() -> None:
    """The subset grows until it has enough that nothing speaks against, or everyone."""
    client = Client(6, 2)
    for _ in range(6):
        for number in client.subset:
            client.check(number, False, False, False)

    assert client.subset == set(range(6))


def test_a_retry_beyond_the_subset() -> None:
    """A connection that failed everywhere in the subset gets the next endpoint in order: always the same."""
    client = Client(10, 2)
    ends = set()
    for _ in range(20):
        assert client.pool.has_other_than(client.pool.active)
        with client.pool.lease(client.pool.active) as lease:
            ends.add(client.number(lease.endpoint))

    assert len(ends) == 1
    assert not ends & client.subset
    chosen = client.pool.picked[-1].chosen
    assert chosen is not None and name_of(chosen.tier).startswith("standby")


@pytest.mark.parametrize("attempts", [2, 3])
@pytest.mark.parametrize("health_check", ["off", "tcp"])
def test_a_dead_subset_gives_way_without_ejections(attempts: int, health_check: str) -> None:
    """EJECT_AFTER=0, and all of the subset is dead: retries go on to those that stand by, all of them."""
    client = Client(20, 3, EJECT_AFTER="0", HEALTH_CHECK=health_check, RETRY_BUDGET="0%")
    dead = client.subset
    for number in dead:
        client.succeed(number)
        client.fail(number)

    def served() -> bool:
        tried: list[Endpoint] = []
        while len(tried) < attempts and (not tried or client.pool.may_retry(tried)):
            with client.pool.lease(tried) as lease:
                tried.append(lease.endpoint)
                if client.number(lease.endpoint) not in dead:
                    lease.succeeded()
                    return True
                lease.failed(Refused())
        return False

    assert all([served() for _ in range(1_000)])
    assert client.pool.counters.sheds == {}


def test_there_is_hope_beyond_the_subset() -> None:
    """While anyone is left that nothing speaks against, in the subset or not, refusals do not count."""
    client = Client(4, 2)
    assert client.pool.has_hope([])
    assert client.pool.has_hope(client.pool.active)
    for number in range(3):
        client.fail(number)
    assert client.pool.has_hope([])
    assert not client.pool.has_hope([client.pod(3)])
    client.fail(3)
    assert not client.pool.has_hope([])


def test_the_better_priority_first() -> None:
    """A subset is of the pods that serve; those for failover stand by, whatever their rank."""
    client = Client(0, 3)
    listed = {Identity(address(number)): Listed(priority=number % 2) for number in range(20)}
    client.pool.apply(Answer(AnswerKind.ENDPOINTS, listed))

    assert len(client.subset) == 3
    assert all(number % 2 == 0 for number in client.subset)
    for number in list(client.subset):
        client.check(number, False, False, False)
    served = client.served_by()
    assert len(served) == 3
    assert all(number % 2 == 0 for number in served)


def test_a_newcomer_behind_the_subset_stands_by() -> None:
    """An answer that adds pods changes the subset of hardly anybody; those left out are said to stand by."""
    client = Client(10, 2)
    before = client.subset
    client.answer(*range(11))

    assert Counter(client.states())["standby"] == 11 - len(client.subset)
    assert before <= client.subset


def test_connections_outlive_the_subset() -> None:
    """A connection of a pod that is no longer in the subset goes on, and is still counted."""
    client = Client(0, 1)
    client.pool.apply(answer(0))
    with client.lease(0) as lease:
        client.answer(*range(50))
        for number in range(1, 50):
            client.check(number, True)
        assert client.subset != {0}
        assert lease.endpoint.in_flight == 1
        assert client.state(0) == "standby"

    assert client.pod(0).in_flight == 0
