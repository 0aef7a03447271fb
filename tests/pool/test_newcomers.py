"""Who comes into use beside others, for those who look after that, and who serves."""

from typing import Any

from tests.support.fleet import Stage


def watched(pods: int, **variables: Any) -> tuple[Stage, list[int]]:
    """A pool, and the newcomers that it will tell of."""
    stage, told = Stage(0, **variables), list[int]()
    stage.pool.on_newcomer = lambda endpoint: told.append(stage.number(endpoint))
    stage.answer(*range(pods))
    return stage, told


def serving(stage: Stage) -> set[int]:
    return stage.numbers(stage.pool.serving())


def test_the_first_ones_come_beside_nobody() -> None:
    """Those of the first answer are no newcomers, though their first checks pass later."""
    stage, told = watched(3)
    for number in range(3):
        stage.check(number, True)

    assert not told


def test_a_newcomer_comes_with_its_first_check() -> None:
    """One that DNS lists later is told of once it may be used, and serves from then on."""
    stage, told = watched(3)
    stage.answer(*range(4))
    assert not told
    assert serving(stage) == {0, 1, 2}
    stage.check(3, True, True)

    assert told == [3]
    assert serving(stage) == {0, 1, 2, 3}


def test_without_checks_it_comes_at_once() -> None:
    """With HEALTH_CHECK=off and without slow start as well."""
    stage, told = watched(3, HEALTH_CHECK="off", SLOW_START="0")
    stage.answer(*range(4))

    assert told == [3]


def test_who_recovers_comes_anew() -> None:
    """After failed checks it serves no more; with passed ones it is a newcomer."""
    stage, told = watched(3)
    stage.check(1, False, False, False)
    assert serving(stage) == {0, 2}
    stage.check(1, True, True)

    assert told == [1]
    assert serving(stage) == {0, 1, 2}


def test_a_stand_in_of_a_subset() -> None:
    """Who is taken into this pod's subset for another is a newcomer to it."""
    stage, told = watched(10, SUBSET_SIZE="3", HEALTH_CHECK="off")
    before = stage.numbers(stage.pool.active)
    assert not told
    (gone, *_) = before
    stage.answer(*(number for number in range(10) if number != gone))

    assert set(told) == stage.numbers(stage.pool.active) - before
    assert len(told) == 1


def test_nobody_serves_by_right_in_an_outage() -> None:
    """While all are used for want of a usable one, nobody is said to serve."""
    stage, _ = watched(2)
    for number in range(2):
        stage.check(number, False, False, False)

    assert not serving(stage)


def test_time_passes_without_connections() -> None:
    """Where none is opened, a slow start is over all the same when one asks who serves."""
    stage, _ = watched(3, HEALTH_CHECK="off")
    stage.answer(*range(4))
    serving(stage)
    assert stage.pod(3).warming_since is not None
    stage.clock.advance(10.0)
    serving(stage)

    assert stage.pod(3).warming_since is None
