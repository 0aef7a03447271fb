"""What an endpoint says of itself, from its checks, its connections and DNS."""

import pytest

from proxy.model import Address, Identity, Listed
from proxy.policy.ejection import Ejection, Phase
from proxy.policy.endpoint import NEVER, Endpoint, State
from proxy.policy.health import Health, Status
from tests.support.fleet import address


@pytest.mark.parametrize(
    "status,phase,state,usable,failing",
    [
        (Status.ASSUMED, Phase.SERVING, State.READY, True, False),
        (Status.HEALTHY, Phase.SERVING, State.READY, True, False),
        (Status.UNCHECKED, Phase.SERVING, State.UNCHECKED, False, False),
        (Status.UNHEALTHY, Phase.SERVING, State.UNHEALTHY, False, True),
        (Status.HEALTHY, Phase.EJECTED, State.EJECTED, False, True),
        (Status.UNHEALTHY, Phase.EJECTED, State.EJECTED, False, True),
        (Status.HEALTHY, Phase.PROBING, State.PROBING, False, True),
        (Status.UNCHECKED, Phase.PROBING, State.PROBING, False, True),
        (Status.UNHEALTHY, Phase.PROBING, State.UNHEALTHY, False, True),  # nothing is sent there to probe it
    ],
)
def test_state(status: Status, phase: Phase, state: State, usable: bool, failing: bool) -> None:
    """Ready is the one state that takes new connections; a newcomer is neither usable nor failing."""
    endpoint = Endpoint(Identity(address(1)), Health(status))
    endpoint.ejection = Ejection(phase)

    assert (endpoint.state, endpoint.usable, endpoint.failing) == (state, usable, failing)


@pytest.mark.parametrize(
    "status,phase,alive,failing,proven",
    [
        (Status.ASSUMED, Phase.SERVING, None, False, False),
        (Status.ASSUMED, Phase.SERVING, True, False, True),
        (Status.ASSUMED, Phase.SERVING, False, True, False),
        (Status.HEALTHY, Phase.SERVING, True, False, True),
        (Status.HEALTHY, Phase.SERVING, False, True, False),
        (Status.UNCHECKED, Phase.SERVING, None, False, False),
        (Status.UNCHECKED, Phase.SERVING, True, False, False),
        (Status.UNCHECKED, Phase.SERVING, False, True, False),
        (Status.UNHEALTHY, Phase.SERVING, True, True, False),
        (Status.HEALTHY, Phase.EJECTED, True, True, False),
        (Status.HEALTHY, Phase.PROBING, True, True, False),
    ],
)
def test_life(status: Status, phase: Phase, alive: bool | None, failing: bool, proven: bool) -> None:
    """One failed try speaks against it, one that worked proves it; never tried is neither."""
    endpoint = Endpoint(Identity(address(1)), Health(status))
    endpoint.ejection = Ejection(phase)
    endpoint.alive = alive

    assert (endpoint.failing, endpoint.proven) == (failing, proven)


V4, V6 = Address("10.0.0.1", 80), Address("fd00::1", 80)


def dual() -> Endpoint:
    """A pod with an address of each family, as SRV names it."""
    endpoint = Endpoint(Identity(V4, "web-0"), Health(Status.HEALTHY))
    endpoint.follow(Listed(other=V6))
    return endpoint


def test_turn() -> None:
    """Each failure has the pod tried at its other address; it stays the same pod."""
    endpoint, addresses = dual(), []
    for _ in range(4):
        addresses.append(endpoint.address)
        endpoint.turn_from(endpoint.address)

    assert addresses == [V4, V6, V4, V6]
    assert endpoint.identity == Identity(V4, "web-0")


@pytest.mark.parametrize("failed,used", [(V4, V6), (V6, V4), (Address("10.0.0.1", 81), V4)])
def test_turn_from(failed: Address, used: Address) -> None:
    """Only a failure of the address in use turns, however often it is told."""
    endpoint = dual()
    for _ in range(3):
        endpoint.turn_from(failed)

    assert endpoint.address == used


def test_turn_without_another_address() -> None:
    """A pod with one address is always reached there."""
    endpoint = Endpoint(Identity(V4), Health(Status.HEALTHY))
    endpoint.turn_from(V4)

    assert endpoint.address == V4


def test_addresses() -> None:
    """All it is known by, whichever is in use."""
    endpoint = dual()
    assert endpoint.addresses == {V4, V6}
    endpoint.turn_from(V4)
    assert endpoint.addresses == {V4, V6}
    endpoint.follow(Listed())
    assert endpoint.addresses == {V4}


def test_the_other_address_is_gone() -> None:
    """A pod that lost the address in use is reached at the one that is left."""
    endpoint = dual()
    endpoint.turn_from(V4)
    endpoint.follow(Listed())

    assert endpoint.address == V4


def test_an_address_that_comes_later_is_the_second() -> None:
    """A failure of old, when there was one address, does not choose between the two of today."""
    endpoint = Endpoint(Identity(V4, "web-0"), Health(Status.HEALTHY))
    endpoint.turn_from(V4)
    endpoint.follow(Listed(other=V6))

    assert endpoint.address == V4


def test_follow() -> None:
    """It is what the newest answer says: first of all a plain address with its full share."""
    endpoint = Endpoint(Identity(V4), Health(Status.HEALTHY))
    first = endpoint.priority, endpoint.weight, endpoint.other
    endpoint.follow(Listed(10, 0.5, V6))

    assert first == (0, 1.0, None)
    assert (endpoint.priority, endpoint.weight, endpoint.other) == (10, 0.5, V6)


@pytest.mark.parametrize("phase", Phase)
def test_gone_is_draining(phase: Phase) -> None:
    """Once DNS no longer lists it, nothing else matters."""
    endpoint = Endpoint(Identity(address(1)), Health(Status.HEALTHY))
    endpoint.ejection = Ejection(phase)
    endpoint.gone_at = 7.0

    assert endpoint.state is State.DRAINING


def test_same_address_is_not_same_endpoint() -> None:
    """Addresses are used again by other pods: two objects are two endpoints, as keys and in `tried`."""
    one, other = (Endpoint(Identity(address(1)), Health(Status.HEALTHY)) for _ in range(2))

    assert one != other
    assert len({one, other}) == 2
    assert other not in [one]


def test_repr() -> None:
    """A failing test and a debugger show the state and the load."""
    endpoint = Endpoint(Identity(address(7)), Health(Status.HEALTHY))
    endpoint.in_flight = 3

    assert repr(endpoint) == "<10.0.0.7:80 ready in_flight=3>"


# --- of two attempts the one that began later tells -----------------------------------------------


@pytest.mark.parametrize(
    "worked,passed,began,checkable,news",
    [
        (10.0, NEVER, 10.0, True, True),
        (10.0, NEVER, 9.9, True, False),  # it began before one that worked, and took longer to fail
        (10.0, NEVER, 9.9, False, False),
        (NEVER, 10.0, 9.9, True, False),  # a check of what it met has passed since
        (NEVER, 10.0, 9.9, False, True),  # a check would not notice
        (NEVER, 10.0, 10.1, True, True),
        (NEVER, NEVER, 0.0, True, True),
    ],
)
def test_what_is_news(worked: float, passed: float, began: float, checkable: bool, news: bool) -> None:
    """An attempt that fails late says nothing against what has worked since it began."""
    endpoint = Endpoint(Identity(address(1)), Health(Status.HEALTHY))
    endpoint.worked_from, endpoint.passed_from = worked, passed

    assert endpoint.is_news(began, checkable) is news


@pytest.mark.parametrize(
    "phase,began,news", [(Phase.PROBING, 4.9, False), (Phase.PROBING, 5.0, True), (Phase.SERVING, 4.9, True)]
)
def test_what_began_before_the_probation_does_not_end_it(phase: Phase, began: float, news: bool) -> None:
    """An endpoint on probation is not ejected anew, and for longer, by what had ejected it."""
    endpoint = Endpoint(Identity(address(1)), Health(Status.HEALTHY))
    endpoint.ejection = Ejection(phase, 3, 1, until=5.0)

    assert endpoint.is_news(began) is news
