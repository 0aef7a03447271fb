"""Which name server is asked when, and how long each has to answer."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.model import Address
from proxy.policy.resolv_conf import ResolvConf, parse
from proxy.policy.servers import TRIES, Trouble, failed, ranked, tries, waits

ONE, TWO, THREE = SERVERS = [Address(f"10.0.0.{number}", 53) for number in (1, 2, 3)]
PLAIN = ResolvConf()


def trouble(times: int, now: float = 100.0) -> Trouble:
    """That of a server that failed so many times in a row, each time the last one was over."""
    found = None
    for number in range(times):
        found = failed(found, "timeout", now - 50.0 * (times - 1 - number))
    assert found is not None
    return found


# --- trouble ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "times,seconds", [(1, 5), (2, 10), (3, 20), (4, 40), (5, 60), (6, 60), (12, 60), (2000, 60)]
)
def test_times_double(times: int, seconds: float) -> None:
    """A server that goes on failing is asked last for longer, a minute at most, however often it failed."""
    assert trouble(times) == Trouble(times, 100.0, 100.0 + seconds, "timeout")


def test_one_moment_is_one_failure() -> None:
    """A and AAAA of one poll meet the same silence: it counts once."""
    first = failed(None, "timeout", 100.0)

    assert failed(first, "timeout", 100.1) == first


def test_the_last_result_is_shown() -> None:
    """The page tells how a server failed when it was last asked."""
    assert failed(failed(None, "timeout", 0), "refused", 7).result == "refused"


@pytest.mark.parametrize(
    "troubled,now,want",
    [
        ([], 100, [ONE, TWO, THREE]),
        ([ONE], 100, [TWO, THREE, ONE]),
        ([ONE], 104.9, [TWO, THREE, ONE]),
        ([ONE], 105, [ONE, TWO, THREE]),
        ([TWO], 100, [ONE, THREE, TWO]),
        ([THREE, ONE], 100, [TWO, ONE, THREE]),
        ([ONE, TWO, THREE], 100, [ONE, TWO, THREE]),
    ],
)
def test_ranked(troubled: list[Address], now: float, want: list[Address]) -> None:
    """As configured, those that failed lately last, nobody left out; a while later all is as before."""
    assert ranked(SERVERS, {server: trouble(1) for server in troubled}, now) == want


def test_trouble_of_strangers() -> None:
    """Servers of a former resolv.conf are not asked."""
    assert ranked([ONE], {TWO: trouble(1)}, 100) == [ONE]


# --- tries --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "servers,options,want",
    [
        (1, "", 3),
        (2, "", 3),
        (3, "", 3),
        (5, "", 5),
        (1, "attempts:1", 1),
        (1, "attempts:2", 2),
        (3, "attempts:2", 6),
        (3, "attempts:9", 15),
        (2, "attempts:0", 3),
        (2, "timeout:1", 3),
    ],
)
def test_tries(servers: int, options: str, want: int) -> None:
    """Three, or one for each server when there are more; `attempts` counts rounds, as in resolv.conf(5)."""
    assert tries(servers, parse(f"options {options}")) == want


# --- waits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "deadline_s,count,options,want",
    [
        (7.0, 3, "", [1.0, 2.0]),
        (2.0, 3, "", [2 / 7, 4 / 7]),
        (2.0, 1, "", []),
        (2.0, 2, "", [1.0]),
        (2.0, 4, "", [0.5, 0.5, 0.5]),
        (6.0, 3, "timeout:1", [1.0, 1.0]),
        (6.0, 3, "timeout:2", [2.0, 2.0]),
        (6.0, 3, "timeout:5", [2.0, 2.0]),
        (2.0, 3, "timeout:5", [2 / 3, 2 / 3]),
        (2.0, 2, "timeout:5", [1.0]),
        (2.0, 1, "timeout:5", []),
        (6.0, 6, "timeout:1", [1.0] * 5),
    ],
)
def test_waits(deadline_s: float, count: int, options: str, want: list[float]) -> None:
    """The first wait is short, the last one long; `timeout` counts as far as each try gets its share."""
    assert waits(deadline_s, count, parse(f"options {options}")) == pytest.approx(want)


confs = st.builds(
    ResolvConf,
    timeout_s=st.none() | st.integers(1, 30).map(float),
    attempts=st.none() | st.integers(1, 5),
)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.floats(0.05, 60.0), st.integers(1, 12), confs)
def test_every_server_is_asked_in_time(deadline_s: float, servers: int, conf: ResolvConf) -> None:
    """Before the deadline each server gets a question, and the last one has time to answer."""
    count = tries(servers, conf)
    pauses = waits(deadline_s, count, conf)

    assert count >= servers
    assert len(pauses) == count - 1
    assert all(pause > 0 for pause in pauses)
    assert sum(pauses) <= deadline_s * (1 - 1 / count) + 1e-9
    assert deadline_s - sum(pauses) >= max(pauses, default=0.0) - 1e-9
    if conf.timeout_s is not None:
        assert max(pauses, default=0.0) <= conf.timeout_s


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(SERVERS), st.floats(0, 300)), max_size=8))
def test_nobody_is_forgotten(failures: list[tuple[Address, float]]) -> None:
    """Whatever failed when, all are asked, each once; after a minute of peace as configured."""
    troubles: dict[Address, Trouble] = {}
    for server, now in sorted(failures, key=lambda each: each[1]):
        troubles[server] = failed(troubles.get(server), "servfail", now)

        assert sorted(ranked(SERVERS, troubles, now)) == SERVERS
        assert ranked(SERVERS, troubles, now)[-1] in troubles
    assert ranked(SERVERS, troubles, 360.0) == SERVERS


def test_the_usual_number_of_tries_is_what_the_waits_are_made_for() -> None:
    """A pod's resolv.conf has one server and no `attempts`: three tries, each wait twice the one before."""
    assert len(waits(7.0, tries(1, PLAIN), PLAIN)) == TRIES - 1
