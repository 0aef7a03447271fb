"""What an endpoint says of itself, from its checks, its connections and DNS."""

import pytest

from proxy.policy.ejection import Ejection, Phase
from proxy.policy.endpoint import Endpoint, State
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
    ],
)
def test_state(status: Status, phase: Phase, state: State, usable: bool, failing: bool) -> None:
    """Ready is the one state that takes new connections; a newcomer is neither usable nor failing."""
    endpoint = Endpoint(address(1), Health(status))
    endpoint.ejection = Ejection(phase)

    assert (endpoint.state, endpoint.usable, endpoint.failing) == (state, usable, failing)


@pytest.mark.parametrize("phase", Phase)
def test_gone_is_draining(phase: Phase) -> None:
    """Once DNS no longer lists it, nothing else matters."""
    endpoint = Endpoint(address(1), Health(Status.HEALTHY))
    endpoint.ejection = Ejection(phase)
    endpoint.gone_at = 7.0

    assert endpoint.state is State.DRAINING


def test_same_address_is_not_same_endpoint() -> None:
    """Addresses are used again by other pods: two objects are two endpoints, as keys and in `tried`."""
    one, other = (Endpoint(address(1), Health(Status.HEALTHY)) for _ in range(2))

    assert one != other
    assert len({one, other}) == 2
    assert other not in [one]


def test_repr() -> None:
    """A failing test and a debugger show the state and the load."""
    endpoint = Endpoint(address(7), Health(Status.HEALTHY))
    endpoint.in_flight = 3

    assert repr(endpoint) == "<10.0.0.7:80 ready in_flight=3>"
