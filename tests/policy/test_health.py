"""How checks flip an endpoint's status, and how many in a row it takes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.health import Health, HealthRule, Status, cleared, observe

RULE = HealthRule(rise=2, fall=3)


def after(status: Status, checks: str, rule: HealthRule = RULE) -> Health:
    """`checks`: one letter each, `+` passed, `-` failed."""
    health = Health(status)
    for check in checks:
        health = observe(health, check == "+", rule)
    return health


@pytest.mark.parametrize(
    "status,checks,want",
    [
        (Status.ASSUMED, "", Status.ASSUMED),
        (Status.ASSUMED, "+", Status.HEALTHY),
        (Status.ASSUMED, "--", Status.ASSUMED),
        (Status.ASSUMED, "---", Status.UNHEALTHY),
        (Status.UNCHECKED, "+", Status.HEALTHY),
        (Status.UNCHECKED, "--+", Status.HEALTHY),
        (Status.UNCHECKED, "---", Status.UNHEALTHY),
        (Status.UNCHECKED, "---+", Status.UNHEALTHY),
        (Status.HEALTHY, "--", Status.HEALTHY),
        (Status.HEALTHY, "---", Status.UNHEALTHY),
        (Status.HEALTHY, "--+--", Status.HEALTHY),
        (Status.HEALTHY, "--+---", Status.UNHEALTHY),
        (Status.UNHEALTHY, "+", Status.UNHEALTHY),
        (Status.UNHEALTHY, "++", Status.HEALTHY),
        (Status.UNHEALTHY, "+-+", Status.UNHEALTHY),
        (Status.UNHEALTHY, "+-++", Status.HEALTHY),
        (Status.ASSUMED, "+---+-++", Status.HEALTHY),
    ],
)
def test_rise_and_fall(status: Status, checks: str, want: Status) -> None:
    """Two in a row bring back, three in a row take out, one is enough for a newcomer."""
    assert after(status, checks).status is want


@pytest.mark.parametrize("rise,fall", [(1, 1), (1, 3), (5, 2)])
def test_other_rules(rise: int, fall: int) -> None:
    """Exactly as many as the rule says: one less does nothing."""
    rule = HealthRule(rise, fall)

    assert after(Status.HEALTHY, "-" * (fall - 1), rule).usable
    assert not after(Status.HEALTHY, "-" * fall, rule).usable
    assert not after(Status.UNHEALTHY, "+" * (rise - 1), rule).usable
    assert after(Status.UNHEALTHY, "+" * rise, rule).usable


@settings(derandomize=True, deadline=None)
@given(
    st.sampled_from(Status),
    st.text("+-", max_size=30),
    st.builds(HealthRule, rise=st.integers(1, 5), fall=st.integers(1, 5)),
)
def test_only_a_streak_flips(status: Status, checks: str, rule: HealthRule) -> None:
    """After `rise` passes everyone is used, after `fall` failures nobody is, whatever came before."""
    assert after(status, checks + "+" * rule.rise, rule).status is Status.HEALTHY
    assert not after(status, checks + "-" * rule.fall, rule).usable


@pytest.mark.parametrize(
    "status,usable",
    [(Status.ASSUMED, True), (Status.HEALTHY, True), (Status.UNCHECKED, False), (Status.UNHEALTHY, False)],
)
def test_usable(status: Status, usable: bool) -> None:
    """Endpoints of the first answer are used before any check, later ones are not."""
    assert Health(status).usable is usable


@pytest.mark.parametrize("status", [Status.ASSUMED, Status.HEALTHY])
def test_a_connection_that_works_clears_the_count(status: Status) -> None:
    """Two failed checks, a connection that showed the same thing well: the next failed check is the first."""
    health = observe(observe(Health(status), False, RULE), False, RULE)
    assert cleared(health) == Health(status)
    assert observe(cleared(health), False, RULE).status is status


@pytest.mark.parametrize("status", [Status.UNCHECKED, Status.UNHEALTHY])
def test_what_checks_say_of_one_that_is_out_stands(status: Status) -> None:
    """A connection as the last resort neither brings it back nor spoils its way back."""
    assert cleared(Health(status, 1)) == Health(status, 1)
