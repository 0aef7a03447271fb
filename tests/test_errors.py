"""Errors say whose fault they are, in words that metrics may use, and name every wrong setting."""

import errno
import os
import socket

import pytest

from proxy import errors
from proxy.errors import ConnectError, Fault, HeadwayError, SettingsError, StartError, connect_error


@pytest.mark.parametrize(
    "number,reason,source",
    [
        (errno.ECONNREFUSED, "refused", "upstream"),
        (errno.ECONNRESET, "reset_early", "upstream"),
        (errno.EPIPE, "reset_early", "upstream"),
        (errno.ETIMEDOUT, "timeout", "upstream"),
        (errno.EHOSTUNREACH, "unreachable", "upstream"),
        (errno.ENETUNREACH, "unreachable", "upstream"),
        (errno.EPERM, "unreachable", "upstream"),
        (errno.EMFILE, "out_of_descriptors", "internal"),
        (errno.ENFILE, "out_of_descriptors", "internal"),
        (errno.ENOBUFS, "out_of_descriptors", "internal"),
        (errno.ENOMEM, "out_of_descriptors", "internal"),
        (errno.EADDRNOTAVAIL, "out_of_ports", "internal"),
    ],
)
def test_whose_fault_a_failed_connection_is(number: int, reason: str, source: str) -> None:
    """What the system says becomes a reason for metrics; a lack of our own is never the pod's fault."""
    error = connect_error(OSError(number, os.strerror(number)))

    assert (error.reason, error.source) == (reason, source)
    assert str(error) == os.strerror(number)
    assert isinstance(error, ConnectError)


def test_a_cause_without_a_number() -> None:
    """A failure that names no errno still says what it was."""
    error = connect_error(OSError("the sky fell"))

    assert (error.reason, str(error)) == ("unreachable", "the sky fell")


def test_a_real_refusal() -> None:
    """What connect() really raises on a closed port is a refusal."""
    with socket.socket() as closed, socket.socket() as client:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(OSError) as caught:
            client.connect(closed.getsockname())

    assert isinstance(connect_error(caught.value), errors.Refused)


def test_reasons_are_a_closed_list() -> None:
    """Dashboards can rely on these labels: each error has its own, in snake case, and they stay few."""
    kinds = [
        each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, HeadwayError)
    ]
    reasons = {each.__name__: each.reason for each in kinds if each.reason != "internal"}

    assert reasons == {
        "Refused": "refused",
        "ConnectTimeout": "timeout",
        "Unreachable": "unreachable",
        "IdentityChanged": "identity_changed",
        "Unhealthy": "unhealthy",
        "ResetEarly": "reset_early",
        "SlowConnect": "slow_connect",
        "DeadlinePassed": "deadline",
        "CheckFailed": "check_failed",
        "OutOfDescriptors": "out_of_descriptors",
        "OutOfPorts": "out_of_ports",
        "NoEndpoint": "no_endpoint",
        "AllFull": "all_full",
        "QueueFull": "queue_full",
        "NoRoom": "no_room",
        "CutOff": "aborted",
        "ClientReset": "client_reset",
        "WrongProxyHeader": "proxy_protocol",
    }
    assert {each.source for each in kinds} == {"client", "upstream", "internal"}


def test_a_fault_names_its_variable() -> None:
    """A fault reads as an assignment and what is wrong with it; without a value it is the name alone."""
    assert str(Fault("HEADWAY_TARGET", "web", "has no port")) == "HEADWAY_TARGET=web: has no port"
    assert str(Fault("HEADWAY_TARGET", "", "is empty")) == "HEADWAY_TARGET=: is empty"
    assert str(Fault("HEADWAY_TARGET", None, "is required")) == "HEADWAY_TARGET: is required"


def test_a_fault_stays_on_its_line() -> None:
    """A value with line ends or terminal commands is shown escaped."""
    assert str(Fault("HEADWAY_LISTEN", "a\n\x1b[2J", "is odd")) == r"HEADWAY_LISTEN='a\n\x1b[2J': is odd"


def test_wrong_settings_are_counted() -> None:
    """All faults come together, a line each, under how many there are."""
    one, other = Fault("A", "1", "is odd"), Fault("B", None, "is missing")

    assert str(SettingsError([one])) == "1 setting is wrong:\n  A=1: is odd"
    assert str(SettingsError([one, other])) == "2 settings are wrong:\n  A=1: is odd\n  B: is missing"
    assert SettingsError([one, other]).faults == [one, other]


def test_only_a_failed_attempt_may_be_tried_elsewhere() -> None:
    """Having no endpoint, or no way to start, is not a failed attempt at one endpoint."""
    assert not issubclass(errors.NoEndpoint, ConnectError)
    assert not issubclass(StartError, ConnectError)
