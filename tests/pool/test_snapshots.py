"""While a snapshot rests, nobody gets an endpoint that it would not give."""

import pytest

from proxy.model import Answer, AnswerKind, Identity, Listed
from proxy.observe.counters import ServiceCounters
from proxy.policy.endpoint import Endpoint
from proxy.pool import Pool
from tests.support import FakeClock
from tests.support.fleet import Stage, address


class Slow(FakeClock):
    """Looking at it takes a tenth of a second: so does making a snapshot, which then rests for nine more."""

    def now(self) -> float:
        self.time += 0.1
        return self.time


class Resting(Stage):
    """Pods whose snapshot has just been made."""

    def __init__(self, pods: int, **variables: str) -> None:
        super().__init__(0, 7, **variables)
        self.clock = Slow()
        self.pool = Pool(self.settings, ServiceCounters(), self.clock, self.rng)
        self.answer(*range(pods))
        self.next_one()

    def freeze(self) -> None:
        """Time stands still from now on."""
        self.clock.__class__ = FakeClock
        self.clock.time += 0.05

    @property
    def made(self) -> object:
        return self.pool.tiers.pickers


def test_what_became_bad_gets_nothing() -> None:
    """The snapshot still has it; whoever would get it has another one made."""
    stage = Resting(3)
    stage.freeze()
    before = stage.made
    stage.check(0, False, False, False)

    assert stage.made is before
    assert stage.served_by() == {1, 2}
    assert stage.made is not before


def test_one_probing_connection() -> None:
    """A pod on probation gets one connection, not one more because the snapshot is not made anew."""
    stage = Resting(3)
    stage.fail(0, times=3)
    stage.check(0, True)
    stage.clock.advance(10)
    stage.next_one()
    stage.freeze()
    leases = [stage.pool.lease([]) for _ in range(100)]

    assert sum(lease.endpoint is stage.pod(0) for lease in leases) == 1


def test_what_became_good_waits_a_moment() -> None:
    """Nobody is worse off: the others are well. Then it is among them."""
    stage = Resting(3)
    stage.check(0, False, False, False)
    stage.clock.advance(10)
    stage.next_one()
    stage.freeze()
    stage.check(0, True, True)
    assert stage.served_by() == {1, 2}
    stage.clock.advance(1.0)

    assert stage.served_by() == {0, 1, 2}


def test_the_first_that_is_well_again_is_used_at_once() -> None:
    """Rather than one that is not."""
    stage = Resting(3)
    for number in range(3):
        stage.check(2, True)  # each is its own trouble
        stage.check(number, False, False, False)
    stage.clock.advance(10)
    stage.next_one()
    stage.freeze()
    stage.check(1, True, True)

    assert stage.served_by(20) == {1}


def test_the_better_priority_is_used_at_once() -> None:
    """A pod of the first priority is back: those for failover need not serve any longer."""
    stage = Resting(1)
    listed = {Identity(address(number)): Listed(priority=int(number > 0)) for number in range(3)}
    stage.pool.apply(Answer(AnswerKind.ENDPOINTS, listed))
    for number in (1, 2):
        stage.check(number, True)
    stage.check(0, False, False, False)
    stage.clock.advance(10)
    assert stage.served_by(50) == {1, 2}
    stage.freeze()
    stage.check(0, True, True)

    assert stage.served_by(20) == {0}


@pytest.mark.parametrize("numbers", [(0, 1), (0, 1, 2, 3)])
def test_dns_is_followed_at_once(numbers: tuple[int, ...]) -> None:
    """Members that come or go are no storm."""
    stage = Resting(3, HEALTH_CHECK="off", SLOW_START="0")
    stage.freeze()
    stage.answer(*numbers)

    assert stage.served_by() == set(numbers)


def test_it_rests_nine_times_as_long_as_it_took() -> None:
    """Not a moment longer."""
    stage = Resting(3)
    stage.freeze()
    stage.check(0, False, False, False)
    stage.check(0, True, True)
    before = stage.made
    untouched: list[Endpoint] = [stage.next_one()]
    assert stage.made is before
    stage.clock.advance(0.95)
    untouched.append(stage.next_one())

    assert stage.made is not before
