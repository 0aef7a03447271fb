"""When an endpoint whose connections fail is left alone, for how long, and how it comes back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.ejection import Ejection, EjectionRule, Phase, failed, may_return, room_to_eject, succeeded

RULE = EjectionRule(after=3, base_s=5.0, max_s=300.0, share=0.5)


def fail(
    state: Ejection, times: int, now: float = 0.0, rule: EjectionRule = RULE, room: bool = True
) -> Ejection:
    for _ in range(times):
        state = failed(state, rule, now, room)
    return state


def lengths(rule: EjectionRule, count: int) -> list[float]:
    """How long each of `count` ejections in a row lasts, of an endpoint that never works."""
    state, now, seconds = fail(Ejection(), rule.after, rule=rule), 0.0, []
    for _ in range(count):
        seconds.append(state.until - now)
        now = state.until
        state = fail(may_return(state, now, checked=False), 1, now, rule)
    return seconds


@pytest.mark.parametrize("after", [1, 3, 10])
def test_failures_in_a_row(after: int) -> None:
    """The last of so many failures ejects, not one before it."""
    rule = EjectionRule(after=after)

    assert fail(Ejection(), after - 1, rule=rule).phase is Phase.SERVING
    assert fail(Ejection(), after, now=7.0, rule=rule) == Ejection(Phase.EJECTED, after, 1, 12.0)


def test_a_success_starts_the_count_anew() -> None:
    """Two failures, a success and two more are not a row."""
    assert fail(succeeded(fail(Ejection(), 2)), 2).phase is Phase.SERVING


def test_off() -> None:
    """With EJECT_AFTER=0 nobody is ever ejected."""
    assert fail(Ejection(), 1000, rule=EjectionRule(after=0)).phase is Phase.SERVING


@pytest.mark.parametrize(
    "rule,want",
    [
        (RULE, [5, 10, 20, 40, 80, 160, 300, 300]),
        (EjectionRule(after=1, base_s=1.0, max_s=3.0), [1, 2, 3, 3]),
        (EjectionRule(after=1, base_s=9.0, max_s=3.0), [3, 3]),
    ],
)
def test_times_double(rule: EjectionRule, want: list[float]) -> None:
    """Each further failure in probation doubles the time, up to the maximum."""
    assert lengths(rule, len(want)) == want


def test_dead_for_days() -> None:
    """A pod that stays dead is probed and ejected thousands of times, and the time stays at its maximum."""
    assert set(lengths(RULE, 3000)[6:]) == {300.0}


def test_ejected_is_left_alone_until_its_time_is_over() -> None:
    """Not a moment sooner; and waiting longer does not hurt."""
    ejected = fail(Ejection(), 3, now=0.0)

    assert may_return(ejected, 4.99, checked=False) is ejected
    assert may_return(ejected, 5.0, checked=False).phase is Phase.PROBING
    assert may_return(ejected, 9999.0, checked=False).phase is Phase.PROBING


def test_a_passed_check_brings_probation_forward() -> None:
    """The next failure then counts from there."""
    probing = may_return(fail(Ejection(), 3), 1.0, checked=True)

    assert probing.phase is Phase.PROBING
    assert failed(probing, RULE, 1.5, room=True).until == 1.5 + 10


def test_a_check_refutes_only_what_it_can_meet() -> None:
    """A pod that accepts and then resets passes each check; its ejections get longer all the same."""
    out = failed(fail(Ejection(), 2), RULE, 0.0, room=True, checkable=False)

    assert may_return(out, 1.0, checked=True) == out
    assert may_return(out, 5.0, checked=False).phase is Phase.PROBING


def test_probation() -> None:
    """One connection decides: a success brings it back, a failure ejects it again at once."""
    probing = may_return(fail(Ejection(), 3), 5.0, checked=False)

    assert succeeded(probing).phase is Phase.SERVING
    assert failed(probing, RULE, 5.0, room=True).phase is Phase.EJECTED


@pytest.mark.parametrize("phase", [Phase.SERVING, Phase.PROBING])
def test_only_the_ejected_return(phase: Phase) -> None:
    """A passed check says nothing new of the others."""
    assert may_return(Ejection(phase), 1e9, checked=True) == Ejection(phase)


@pytest.mark.parametrize("quiet_s,length", [(0.0, 10.0), (300.0, 10.0), (300.1, 5.0)])
def test_the_record_is_forgotten(quiet_s: float, length: float) -> None:
    """Who fails again soon after it came back is out for longer; after EJECT_MAX it starts anew."""
    back = succeeded(may_return(fail(Ejection(), 3), 5.0, checked=False))
    again = fail(back, 3, now=5.0 + quiet_s)

    assert again.until - (5.0 + quiet_s) == length


def test_the_record_ages_from_the_comeback() -> None:
    """An endpoint that a check brought back early has been well since then, not since its time was over."""
    back = succeeded(may_return(fail(Ejection(), 3), 1.0, checked=True))
    again = fail(back, 3, now=302.0)

    assert again.until - 302.0 == 5.0


def test_a_failed_last_resort_is_no_news() -> None:
    """Connections to an ejected endpoint, made because all are out, do not lengthen its time."""
    ejected = fail(Ejection(), 3)

    assert fail(ejected, 10, now=4.0) is ejected


def test_without_room() -> None:
    """Who may not be ejected serves on, and is ejected by the first failure once there is room."""
    crowded = fail(Ejection(), 5, room=False)

    assert (crowded.phase, crowded.failures) == (Phase.SERVING, 5)
    assert fail(crowded, 1).phase is Phase.EJECTED


def test_probation_needs_no_room() -> None:
    """A probed endpoint is out already: when it fails it stays out, however many others are."""
    probing = may_return(fail(Ejection(), 3), 5.0, checked=False)

    assert failed(probing, RULE, 5.0, room=False) == failed(probing, RULE, 5.0, room=True)


@pytest.mark.parametrize(
    "members,share,most",
    [(1, 0.5, 0), (2, 0.5, 1), (3, 0.5, 1), (5, 0.5, 2), (10, 0.5, 5), (3, 0.1, 1), (2, 0.0, 1), (10, 0.1, 1),
     (1, 1.0, 0), (2, 1.0, 1), (10, 1.0, 9)],
)  # fmt: skip
def test_share(members: int, share: float, most: int) -> None:
    """One may always be ejected, never all; between the two the share decides."""
    rule, out = EjectionRule(share=share), 0
    while room_to_eject(rule, members, out, others_usable=members - out > 1):
        out += 1

    assert out == most


def test_the_last_usable_one_stays() -> None:
    """Where checks call all others dead, the one that serves is kept, though nobody is ejected yet."""
    assert not room_to_eject(RULE, 10, 0, others_usable=False)


events = st.lists(
    st.tuples(st.sampled_from(["fail", "work", "wait", "check"]), st.floats(0, 400)), max_size=40
)


@settings(derandomize=True, deadline=None)
@given(
    events,
    st.builds(EjectionRule, after=st.integers(1, 5), base_s=st.floats(0.1, 500), max_s=st.floats(0.1, 500)),
)
def test_never_out_for_longer_than_the_maximum(story: list[tuple[str, float]], rule: EjectionRule) -> None:
    """Whatever happens, it may be tried again within EJECT_MAX, and one success brings it back."""
    state, now = Ejection(), 0.0
    for what, seconds in story:
        now += seconds
        state = may_return(state, now, checked=what == "check")
        if what == "fail":
            state = failed(state, rule, now, room=True)
        elif what == "work":
            state = succeeded(state)

        assert state.phase is Phase.SERVING or what != "work"
        assert state.phase is not Phase.EJECTED or state.until <= now + rule.max_s + 1e-6
        assert may_return(state, now + rule.max_s + 1e-6, checked=False).phase is not Phase.EJECTED


@pytest.mark.parametrize(
    "now,checked,over_at", [(1.5, True, 1.5), (5.0, False, 5.0), (400.0, False, 5.0), (400.0, True, 5.0)]
)
def test_when_an_ejection_was_over(now: float, checked: bool, over_at: float) -> None:
    """With the check that ended it early, else when its time was over, however late anybody looked."""
    back = may_return(fail(Ejection(), 3), now, checked)

    assert (back.phase, back.until) == (Phase.PROBING, over_at)
