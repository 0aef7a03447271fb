"""The log says each kind of thing once a minute, and how often it was silent about it."""

import pytest

from proxy.observe.seldom import Seldom
from tests.support import FakeClock


def test_the_first_is_said() -> None:
    """The first of its kind is said at once, and nothing is added."""
    assert Seldom(FakeClock()).may_say("a") == ""


@pytest.mark.parametrize("start", [0.0, 1000.0])
@pytest.mark.parametrize("later_s,said", [(0.0, False), (59.9, False), (60.0, True), (3600.0, True)])
def test_the_next_one_waits_a_minute(start: float, later_s: float, said: bool) -> None:
    """Within a minute there is no second line, after it there is."""
    clock = FakeClock(start)
    seldom = Seldom(clock)
    seldom.may_say("a")
    clock.advance(later_s)

    assert (seldom.may_say("a") is not None) == said


def test_what_was_not_said_is_counted() -> None:
    """A line says how many there were since the last one, and then the count begins anew."""
    clock = FakeClock()
    seldom = Seldom(clock)
    seldom.may_say("a")
    for _ in range(7):
        clock.advance(5)
        assert seldom.may_say("a") is None
    clock.advance(25)

    assert seldom.may_say("a") == " (7 more since the last line)"
    clock.advance(60)
    assert seldom.may_say("a") == ""


def test_a_steady_stream_is_a_line_a_minute() -> None:
    """Ten minutes of ten a second are ten lines: silence does not put off the next one."""
    clock = FakeClock()
    seldom = Seldom(clock)
    lines = 0
    for _ in range(6000):
        lines += seldom.may_say("a") is not None
        clock.advance(0.1)

    assert lines in (10, 11)  # tenths do not add up exactly


def test_kinds_do_not_silence_each_other() -> None:
    """Each kind has its own minute and its own count."""
    clock = FakeClock()
    seldom = Seldom(clock)
    seldom.may_say("a")
    seldom.may_say("a")

    assert seldom.may_say("b") == ""
    clock.advance(60)
    assert seldom.may_say("b") == ""
    assert seldom.may_say("a") == " (1 more since the last line)"
