"""Listeners that cannot all be open, and services that would dial themselves, are found before the start."""

import pytest

from proxy.config import Listen
from proxy.config.listen import listen
from tests.config.refusals import faults


def clashes(**variables: str) -> list[str]:
    env = {"TARGET": "web:80"} | variables
    if "SERVICES" in variables:
        del env["TARGET"]
    return faults({f"HEADWAY_{name}": text for name, text in env.items()})


@pytest.mark.parametrize(
    "one,other,clash",
    [
        ("127.0.0.1:80", "127.0.0.1:80", True),
        ("127.0.0.1:80", "127.0.0.1:81", False),
        ("127.0.0.1:80", "127.0.0.2:80", False),
        ("127.0.0.1:80", "[::1]:80", False),
        (":80", ":80", True),
        (":80", "127.0.0.1:80", True),
        (":80", "[::1]:80", True),
        (":80", "localhost:80", True),
        (":80", "0.0.0.0:80", True),
        (":80", "[::]:80", True),
        (":80", "127.0.0.1:81", False),
        ("localhost:80", "127.0.0.1:80", True),
        ("localhost:80", "[::1]:80", True),
        ("localhost:80", "127.0.0.2:80", False),
        ("localhost:80", "0.0.0.0:80", True),
        ("0.0.0.0:80", "10.0.0.1:80", True),
        ("0.0.0.0:80", "[::1]:80", False),
        ("0.0.0.0:80", "[::]:80", False),
        ("[::]:80", "[fd00::1]:80", True),
        ("[::]:80", "127.0.0.1:80", False),
        ("127.0.0.1:0", "127.0.0.1:0", False),
        (":0", "localhost:0", False),
        ("unix:/run/a", "unix:/run/a", True),
        ("unix:/run/a", "unix:/run/b", False),
        ("unix:/run/a", ":80", False),
    ],
)
def test_which_listeners_exclude_each_other(one: str, other: str, clash: bool) -> None:
    """Two listeners clash when an address of one is an address of the other on the same port."""
    assert listen.parse(one).clashes(listen.parse(other)) is clash
    assert listen.parse(other).clashes(listen.parse(one)) is clash
    assert clash == bool(clashes(LISTEN=one, ADMIN_LISTEN=other, TELEMETRY_LISTEN="off"))


def test_the_target_port_is_that_of_a_page() -> None:
    """A default listener that hits a page's port is explained, though nobody set either of them."""
    taken = "127.0.0.1:9902 is taken by HEADWAY_TELEMETRY_LISTEN (:9902); choose another"

    assert clashes(TARGET="web:9902") == [f"HEADWAY_LISTEN: {taken}"]
    assert clashes(TARGET="web:9902", TELEMETRY_LISTEN="off") == []


def test_the_two_pages_on_one_port() -> None:
    """The pages need a listener each; the admin page is the one to move."""
    assert clashes(ADMIN_LISTEN="localhost:9902") == [
        "HEADWAY_ADMIN_LISTEN=localhost:9902: localhost:9902 is taken by HEADWAY_TELEMETRY_LISTEN (:9902);"
        " choose another"
    ]


def test_services_on_one_port() -> None:
    """Three services with one target port need listeners of their own: each later one is named."""
    found = clashes(
        SERVICES="a,b,c", A_TARGET="a:80", B_TARGET="b:80", C_TARGET="c:80", C_LISTEN="localhost:80"
    )

    assert found == [
        "HEADWAY_B_LISTEN: 127.0.0.1:80 is taken by HEADWAY_A_LISTEN (127.0.0.1:80); choose another",
        "HEADWAY_C_LISTEN=localhost:80: localhost:80 is taken by HEADWAY_A_LISTEN (127.0.0.1:80);"
        " choose another",
    ]


def test_one_of_several_addresses() -> None:
    """Of a list the address that is taken, or that the target leads to, is the one that is named."""
    assert clashes(LISTEN="127.0.0.1:80,127.0.0.1:9901?backlog=9") == [
        "HEADWAY_LISTEN=127.0.0.1:80,127.0.0.1:9901?backlog=9: 127.0.0.1:9901 is taken by"
        " HEADWAY_ADMIN_LISTEN (127.0.0.1:9901); choose another"
    ]
    assert clashes(TARGET="127.0.0.1:80", LISTEN="unix:/run/a,[::1]:80,127.0.0.1:80") == [
        "HEADWAY_TARGET=127.0.0.1:80: leads back to 127.0.0.1:80, where this service itself listens;"
        " choose another HEADWAY_LISTEN"
    ]


@pytest.mark.parametrize(
    "target,listen,at",
    [
        ("127.0.0.1:80", "", "127.0.0.1:80"),
        ("localhost:80", "", "127.0.0.1:80"),
        ("LocalHost.:80", "[::1]:80", "[::1]:80"),
        ("localhost:80", ":80", ":80"),
        ("127.0.0.1:80", ":80", ":80"),
        ("127.0.0.9:80", "0.0.0.0:80", "0.0.0.0:80"),
        ("[::1]:80", "localhost:80", "localhost:80"),
        ("0.0.0.0:80", "", "127.0.0.1:80"),
        ("10.0.0.1:80", "10.0.0.1:80", "10.0.0.1:80"),
        ("static://10.0.0.1:80,127.0.0.1:80", "", "127.0.0.1:80"),
    ],
)
def test_a_service_that_dials_itself(target: str, listen: str, at: str) -> None:
    """A target that leads back to the service's own listener would multiply connections without end."""
    found = clashes(TARGET=target, **({"LISTEN": listen} if listen else {}))

    assert found == [
        f"HEADWAY_TARGET={target}: leads back to {at}, where this service itself listens;"
        " choose another HEADWAY_LISTEN"
    ]


@pytest.mark.parametrize(
    "target,listen",
    [
        ("127.0.0.1:80", "127.0.0.1:81"),
        ("127.0.0.1:80", ":81"),
        ("127.0.0.2:80", "127.0.0.1:80"),
        ("127.0.0.1:80", "[::1]:80"),
        ("localhost:80", "unix:/run/a"),
        ("localhost.shop:80", "127.0.0.1:80"),
        ("10.0.0.1:80", ":80"),  # some other pod
        ("[fd00::1]:80", "[::]:80"),
    ],
)
def test_a_service_that_may_listen_there(target: str, listen: str) -> None:
    """A listener on the pods' port is fine as long as no pod is this very listener."""
    assert clashes(TARGET=target, LISTEN=listen) == []


def test_a_service_of_several_that_dials_itself() -> None:
    """With several services the variables named are those of the one that is wrong."""
    found = clashes(SERVICES="a,b", A_TARGET="a:80", B_TARGET="127.0.0.1:81", B_LISTEN=":81")

    assert found == [
        "HEADWAY_B_TARGET=127.0.0.1:81: leads back to :81, where this service itself listens;"
        " choose another HEADWAY_B_LISTEN"
    ]


def test_a_service_may_dial_another() -> None:
    """A service whose target is another one's listener is a chain, not a circle."""
    assert clashes(SERVICES="a,b", A_TARGET="a:80", B_TARGET="127.0.0.1:80", B_LISTEN=":81") == []


def test_listeners_are_shown_as_written() -> None:
    """Every kind of listener prints as it is set."""
    assert [str(each) for each in (Listen("", 1), Listen("::1", 1), Listen(path="/a"))] == [
        ":1",
        "[::1]:1",
        "unix:/a",
    ]
