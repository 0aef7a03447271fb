"""A picker of the user's own that is wrong: each connection gets an endpoint, and the log tells."""

import logging
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest

from proxy.model import Rng
from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers import Pick, Picker, PickInfo
from proxy.pool.watched import Watch
from tests.support.fleet import fleet
from tests.support.traffic import picked, some_info


class Own:
    """Answers as it is told, right or wrong."""

    def __init__(self, answer: Callable[[PickInfo], Any]) -> None:
        self.pick = answer


STRANGER = fleet(1)[0]
WRONG: dict[str, Callable[[PickInfo], Any]] = {
    "found no endpoint": lambda info: None,
    "gave a Endpoint instead of a Pick": lambda info: STRANGER,
    "gave an endpoint that it was not given": lambda info: Pick(STRANGER),
    "gave an endpoint that was tried": lambda info: Pick(next(iter(info.tried))),
    "raised ZeroDivisionError": lambda info: 1 / 0,
    "raised TypeError": lambda info: Pick({}),  # type: ignore[arg-type]
}


def watch(answer: Callable[[PickInfo], Any]) -> Watch:
    def factory(endpoints: Sequence[Endpoint], rng: Rng, previous: Picker | None) -> Picker:
        return Own(answer)

    return Watch(factory, "orders", "mine:Own")


@pytest.mark.parametrize("problem", WRONG)
def test_wrong_answers(problem: str, caplog: pytest.LogCaptureFixture) -> None:
    """The less busy of those not tried is taken; it is logged once, and noted each time."""
    endpoints, rng = fleet(3), Random(7)
    endpoints[1].in_flight = 9
    made = watch(WRONG[problem])
    with caplog.at_level(logging.WARNING, "headway.pool"):
        for _ in range(3):
            picker = made(endpoints, rng, None)
            found = [picker.pick(some_info(rng, endpoints[:1])) for _ in range(10)]

    assert {pick and pick.endpoint for pick in found} == {endpoints[2]}
    assert {pick and pick.note for pick in found} == {f"mine:Own {problem}"}
    assert caplog.messages == [f"orders: mine:Own {problem}; p2c chooses instead"]


@pytest.mark.parametrize("problem", WRONG)
def test_none_is_left(problem: str, caplog: pytest.LogCaptureFixture) -> None:
    """Who was asked after all were tried may find none, or say anything."""
    endpoints, rng = fleet(3), Random(7)
    picker = watch(WRONG[problem])(endpoints, rng, None)

    assert picked(picker, rng, endpoints) is None
    assert caplog.messages == []


def test_it_is_asked_again() -> None:
    """One wrong answer does not end it."""
    endpoints, rng = fleet(3), Random(7)
    answers = iter([None, Pick(endpoints[2], note="mine"), None])
    picker = watch(lambda info: next(answers))(endpoints, rng, None)
    notes = [pick and pick.note for pick in (picker.pick(some_info(rng)) for _ in range(3))]

    assert notes == ["mine:Own found no endpoint", "mine", "mine:Own found no endpoint"]


def test_it_cannot_be_made(caplog: pytest.LogCaptureFixture) -> None:
    """A factory that fails is asked again with the next snapshot; p2c chooses until then."""
    endpoints, rng = fleet(3), Random(7)

    def factory(given: Sequence[Endpoint], rng: Rng, previous: Picker | None) -> Picker:
        assert previous is None
        if len(given) < 3:
            raise RuntimeError("too few")
        return Own(lambda info: Pick(given[0], note="mine"))

    made = Watch(factory, "orders", "mine:Own")
    failed = made(endpoints[:2], rng, None)
    found = {picked(failed, rng) for _ in range(100)}
    recovered = made(endpoints, rng, failed).pick(some_info(rng))

    assert found == set(endpoints[:2])
    assert recovered == Pick(endpoints[0], note="mine")
    assert caplog.messages == ["orders: mine:Own could not be made; p2c chooses instead"]


def test_it_sees_its_own_predecessor() -> None:
    """The next snapshot is handed the user's picker, not what is around it."""
    endpoints, rng = fleet(3), Random(7)
    seen: list[Picker | None] = []

    def factory(given: Sequence[Endpoint], rng: Rng, previous: Picker | None) -> Picker:
        seen.append(previous)
        return Own(lambda info: None)

    made = Watch(factory, "orders", "mine:Own")
    made(endpoints, rng, made(endpoints, rng, None))

    assert seen[0] is None
    assert isinstance(seen[1], Own)
