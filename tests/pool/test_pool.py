"""Leases on the endpoints of a pool, and what a person reads of it."""

import asyncio
import logging

import pytest
from msgspec import structs

from proxy.errors import ConnectError, NoEndpoint, OutOfDescriptors, Refused
from proxy.model import Address, Answer, Family
from tests.support.fleet import FAILED, NXDOMAIN, Stage, address

# --- leases ---------------------------------------------------------------------------------------


def test_a_lease_counts_while_it_is_held() -> None:
    """The count rises before anything else can happen and falls when the block ends."""
    stage = Stage(1)
    with stage.pool.lease([]) as one, stage.pool.lease([]) as other:
        assert one.endpoint is other.endpoint is stage.pod(0)
        assert stage.pod(0).in_flight == 2

    assert (stage.pod(0).in_flight, stage.pod(0).picks) == (0, 2)


@pytest.mark.parametrize("end", ["succeeded", "failed", "neither", "raises", "cancelled"])
def test_the_count_falls_on_every_path(end: str) -> None:
    """However a connection ends, it is no longer counted."""
    stage = Stage(1)

    def connection() -> None:
        with stage.pool.lease([]) as lease:
            if end == "raises":
                raise OSError
            if end == "cancelled":
                raise asyncio.CancelledError
            if end == "succeeded":
                lease.succeeded()
            if end == "failed":
                lease.failed(Refused())

    try:
        connection()
    except (OSError, asyncio.CancelledError):
        assert end in ("raises", "cancelled")

    assert stage.pod(0).in_flight == 0


def test_a_lease_ends_with_one_verdict() -> None:
    """What is reported first holds: a connection that worked and was reset later did work."""
    stage = Stage(2, EJECT_AFTER="1")
    with stage.lease(0) as lease:
        lease.succeeded()
        lease.failed(Refused())
    with stage.lease(1) as lease:
        lease.failed(Refused())
        lease.succeeded()

    assert stage.states() == ["ready", "ejected"]


def test_least_busy_is_seen_at_once() -> None:
    """Connections that begin in the same instant go to different pods."""
    stage = Stage(4, BALANCER="least_connections")
    leases = [stage.pool.lease([]) for _ in range(4)]

    assert stage.numbers([lease.endpoint for lease in leases]) == {0, 1, 2, 3}


def test_nobody_is_left() -> None:
    """Without an endpoint, or once all were tried, the session hears so, and no count is raised."""
    stage = Stage()
    with pytest.raises(NoEndpoint, match="0 of 0"):
        stage.pool.lease([])
    stage.answer(0, 1)
    with pytest.raises(NoEndpoint, match="2 of 2 endpoints tried"):
        stage.pool.lease(stage.pool.members)

    assert [stage.pod(number).in_flight for number in (0, 1)] == [0, 0]


@pytest.mark.parametrize("error", [Refused, OutOfDescriptors])
def test_trouble_is_reported_for_the_pods_faults_only(error: type[ConnectError]) -> None:
    """DNS is asked sooner when a pod fails, not when the sidecar itself does."""
    stage = Stage(2)
    asked: list[bool] = []
    stage.pool.request_resolve = lambda: asked.append(True)
    stage.fail(0, error=error())

    assert asked == ([True] if error.source == "upstream" else [])


# --- what a person reads --------------------------------------------------------------------------


def test_log_of_discovery(caplog: pytest.LogCaptureFixture) -> None:
    """Each change is one line that says who, and why; a poll that changes nothing says nothing."""
    caplog.set_level(logging.INFO, "headway.pool")
    stage = Stage(2)
    stage.answer(0, 1)
    stage.answer(1, 2)
    for _ in range(3):
        stage.pool.apply(NXDOMAIN)
        stage.clock.advance(15)
    stage.pool.apply(FAILED)

    assert caplog.messages == [
        "web: added 10.0.0.0:80, 10.0.0.1:80 (answer endpoints 2: obeyed)",
        "web: added 10.0.0.2:80; removed 10.0.0.0:80 (answer endpoints 2: obeyed)",
        "web: answer nxdomain: nxdomain not believed yet: 2 endpoints may still be alive",
        "web: removed 10.0.0.1:80, 10.0.0.2:80 (answer nxdomain: nxdomain obeyed: it lasted 30 s)",
        "web: answer failed: no endpoint is known: the query failed",
    ]
    assert [record.levelname for record in caplog.records] == ["INFO"] * 2 + ["WARNING"] * 3


def test_two_families_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Polls whose families answer one after the other, day in, day out, are not worth a line."""
    stage = Stage()
    v4, v6 = address(0), Address("fd00::1", 80)
    whole = Answer.of([v4, v6])
    half = structs.replace(Answer.of([v4]), unknown_families=frozenset({Family.IPV6}), partial=True)
    stage.pool.apply(whole)
    caplog.set_level(logging.INFO, "headway.pool")
    for _ in range(10):
        stage.pool.apply(half)
        stage.pool.apply(whole)

    assert caplog.messages == []


def test_a_reason_that_alternates_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """A family whose query fails at every other poll: a line each a minute, that says how many it is for."""
    stage = Stage()
    v4, v6 = address(0), Address("fd00::1", 80)
    whole = Answer.of([v4, v6])
    lacking = structs.replace(Answer.of([v4]), unknown_families=frozenset({Family.IPV6}))
    stage.pool.apply(whole)
    caplog.set_level(logging.INFO, "headway.pool")
    for _ in range(7):  # 70 s
        for answer in (lacking, whole):
            stage.pool.apply(answer)
            stage.clock.advance(5)

    kept = "web: answer endpoints 1: obeyed; 1 kept: their family's query failed"
    well = "web: answer endpoints 2: obeyed"
    more = " (5 more since the last line)"
    assert caplog.messages == [kept, well, kept + more, well + more]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"] * 2


def test_another_decision_is_logged_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """What just said "kept" does not keep silent about NXDOMAIN; each decision is heard of by itself."""
    stage = Stage(2)
    caplog.set_level(logging.INFO, "headway.pool")
    for _ in range(3):
        stage.pool.apply(FAILED)
        stage.pool.apply(NXDOMAIN)

    assert caplog.messages == [
        "web: answer failed: kept: the query failed",
        "web: answer nxdomain: nxdomain not believed yet: 2 endpoints may still be alive",
    ]


def test_repr_is_the_status_line() -> None:
    """A person on call reads how many pods are in which state, and nothing that is zero."""
    stage = Stage(3)
    stage.fail(0, times=3)

    assert repr(stage.pool) == "<pool web: 2 ready, 1 ejected>"


def test_reason() -> None:
    """Why the members are who they are can be read at any time."""
    stage = Stage()
    assert stage.pool.membership.reason == "no answer yet"
    stage.answer(0)
    assert stage.pool.membership.reason == "obeyed"
