"""What the number or word of a setting may be, what it then means, and what is said when it is wrong."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config import Balancer
from proxy.config.service import SERVICE_FIELDS
from proxy.config.setting import Setting
from proxy.config.settings import PROCESS_FIELDS
from proxy.config.values import count, duration, one_of, plain_text, share
from tests.config.refusals import problem

INTERVAL = duration("100ms", "1h")
PAUSE = duration("1ms", "24h", zero="never")
FIELDS = PROCESS_FIELDS | SERVICE_FIELDS
PROPERTY = settings(deadline=None, derandomize=True)


@pytest.mark.parametrize(
    "text,seconds",
    [
        ("100ms", 0.1),
        ("250ms", 0.25),
        ("5s", 5.0),
        ("1.5s", 1.5),
        ("1m", 60.0),
        ("0.5m", 30.0),
        ("1h", 3600.0),
        ("3600000ms", 3600.0),
        ("0.0000277778h", 0.1),  # kept to the microsecond
    ],
)
def test_durations(text: str, seconds: float) -> None:
    """A duration is a number and a unit, and both ends of its range are allowed."""
    assert INTERVAL.parse(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "5",
        "0",
        "s",
        "5 s",
        "-5s",
        "+5s",
        "5d",
        "5S",
        "5sec",
        "1e3s",
        ".5s",
        "5.s",
        "1m30s",
        "\u0665s",
        "5,5s",
    ],
)
def test_what_is_no_duration(text: str) -> None:
    """Without a known unit behind a plain number nothing is guessed."""
    assert problem(INTERVAL, text) == "is not a duration"


@pytest.mark.parametrize("text", ["99ms", "0s", "61m", "2h", "3600.0000001s", "9" * 400 + "s"])
def test_durations_out_of_range(text: str) -> None:
    """A duration outside its range is refused, however it is written."""
    assert problem(INTERVAL, text) == "is out of range"


@pytest.mark.parametrize("text", ["0", "0s", "0ms", "0.0h"])
def test_zero_where_it_means_something(text: str) -> None:
    """Where 0 has a meaning it needs no unit, and the hint says what it means."""
    assert PAUSE.parse(text) == 0.0
    assert PAUSE.show(0.0) == "0"
    assert PAUSE.allowed == "a duration such as 250ms, 5s or 1m, from 1ms to 24h, or 0 = never"


def test_almost_zero_is_not_zero() -> None:
    """A duration too small to keep is out of range; it does not silently turn into "never"."""
    assert problem(PAUSE, "0.0001ms") == "is out of range"


@pytest.mark.parametrize(
    "text,shown",
    [
        ("1ms", "1ms"),
        ("250ms", "250ms"),
        ("1000ms", "1s"),
        ("1.5s", "1500ms"),
        ("90s", "90s"),
        ("120s", "2m"),
        ("60m", "1h"),
        ("2.3h", "138m"),
        ("1234567ms", "1234567ms"),
        ("86399.999999s", "86399999.999ms"),
    ],
)
def test_durations_are_shown_in_full(text: str, shown: str) -> None:
    """A duration is shown in the largest unit that needs no fraction, and never rounded."""
    assert PAUSE.show(PAUSE.parse(text)) == shown


@pytest.mark.parametrize("text,part", [("0%", 0.0), ("50%", 0.5), ("33.3%", 0.333), ("100%", 1.0)])
def test_shares(text: str, part: float) -> None:
    """A share is written in per cent and shown as it was written."""
    assert share().parse(text) == part
    assert share().show(part) == text


@pytest.mark.parametrize(
    "text,why",
    [
        ("50", "is not a share"),
        ("0.5", "is not a share"),
        ("-1%", "is not a share"),
        ("50 %", "is not a share"),
        ("100.1%", "is out of range"),
        ("1000%", "is out of range"),
    ],
)
def test_wrong_shares(text: str, why: str) -> None:
    """A bare number could mean two things, so a share without its sign is refused."""
    assert problem(share(), text) == why


@pytest.mark.parametrize("text,number", [("1", 1), ("007", 7), ("100", 100)])
def test_counts(text: str, number: int) -> None:
    """A count is a whole number, both ends of its range included."""
    assert count(1, 100).parse(text) == number


@pytest.mark.parametrize(
    "text,why",
    [
        ("0", "is out of range"),
        ("101", "is out of range"),
        ("-1", "is out of range"),
        ("1.0", "is not a whole number"),
        ("1_0", "is not a whole number"),
        ("\u0663", "is not a whole number"),
        ("three", "is not a whole number"),
    ],
)
def test_wrong_counts(text: str, why: str) -> None:
    """A count that is no plain number, or too small or large, is refused."""
    assert problem(count(1, 100), text) == why


def test_words() -> None:
    """A word is known in any case; one that is not comes back with the nearest that is."""
    kind = one_of(Balancer)

    assert kind.parse("P2C") is Balancer.P2C
    assert kind.allowed == "p2c, least_connections, round_robin, random, peak_ewma, maglev, ordered"
    assert problem(kind, "roundrobin") == "is not known; did you mean round_robin?"
    assert problem(kind, "xyz") == "is not known"


LIKELY = st.text("0123456789abfh.:%[]/,-_ms ", max_size=24) | st.sampled_from(
    ["unix:/", "static://", "localhost:1", "[fe80::1%eth0]:1"]
).flatmap(lambda start: st.text("0123456789:,./[]a", max_size=12).map(lambda rest: start + rest))


@pytest.mark.slow
@settings(PROPERTY, max_examples=300)
@given(field=st.sampled_from(sorted(FIELDS)), text=st.text(max_size=30) | LIKELY)
def test_no_text_surprises(field: str, text: str) -> None:
    """Any text is a value, shown so that it reads back as itself, or is refused with a reason."""
    kind = FIELDS[field].kind
    try:
        value = kind.parse(text)
    except ValueError as reason:
        assert str(reason)
    else:
        assert kind.parse(kind.show(value)) == value


NUMBERS = st.decimals(0, 10**7, places=6, allow_nan=False).map("{:f}".format)


@PROPERTY
@given(number=NUMBERS, unit=st.sampled_from(["ms", "s", "m", "h"]))
def test_any_duration_reads_back(number: str, unit: str) -> None:
    """No duration changes by being shown: what `headway check` prints can be set again."""
    kind = duration("1ms", "720h", zero="never")
    try:
        seconds = kind.parse(number + unit)
    except ValueError:
        return
    assert kind.parse(kind.show(seconds)) == seconds


@PROPERTY
@given(number=st.decimals(0, 100, places=9, allow_nan=False).map("{:f}".format))
def test_any_share_reads_back(number: str) -> None:
    """No share changes by being shown."""
    part = share().parse(f"{number}%")

    assert 0 <= part <= 1
    assert share().parse(share().show(part)) == part


@pytest.mark.parametrize("setting", FIELDS.values(), ids=FIELDS)
def test_each_default_is_allowed(setting: Setting) -> None:
    """The default of each setting could be written by hand as well."""
    if setting.default is not None and setting.kind is not plain_text:
        value = setting.kind.parse(setting.default)
        assert setting.kind.parse(setting.kind.show(value)) == value
