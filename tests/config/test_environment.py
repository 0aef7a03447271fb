"""How the environment becomes settings: origins, every fault at once, unknown names, foreign variables."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config import Balancer, Listen, Loaded, Row, from_env
from proxy.config.service import SERVICE_FIELDS
from proxy.config.setting import variable
from proxy.config.settings import PROCESS_FIELDS
from proxy.errors import SettingsError
from tests.config.refusals import faults

WEB = {"HEADWAY_TARGET": "web:80"}


def row(loaded: Loaded, name: str) -> Row:
    (found,) = [row for row in loaded.rows if row.variable == name]
    return found


def test_a_target_is_enough() -> None:
    """One variable makes a service, named after the first label of its target."""
    (service,) = from_env({"HEADWAY_TARGET": "orders.shop.svc.cluster.local:8080"}).settings.services

    assert (service.name, service.listen) == ("orders", (Listen("127.0.0.1", 8080),))


def test_nothing_set() -> None:
    """Without a target the user is told which one variable to set, and how."""
    want = "is required: host:port (the port is the pods' targetPort), srv://_port._proto.host or static://ip:port,ip:port"

    assert faults({}) == [f"HEADWAY_TARGET: {want}"]


def test_listed_pods_share_a_default_listener() -> None:
    """A list of pods on one port listens there; with two ports somebody must choose."""
    one = from_env({"HEADWAY_TARGET": "static://10.0.0.1:80,10.0.0.2:80"})
    two = {"HEADWAY_TARGET": "static://10.0.0.1:80,10.0.0.2:81"}

    assert row(one, "HEADWAY_LISTEN") == Row("HEADWAY_LISTEN", "127.0.0.1:80", "default")
    assert one.settings.services[0].name == "default"
    assert faults(two) == ["HEADWAY_LISTEN: is required when pods may listen on different ports"]
    assert faults(two | {"HEADWAY_LISTEN": ":8080"}) == []


def test_srv_brings_ports_and_no_listener() -> None:
    """An SRV target is named after its Service; where to listen must be said."""
    srv = {"HEADWAY_TARGET": "srv://_http._tcp.orders.shop.svc.cluster.local"}

    assert faults(srv) == ["HEADWAY_LISTEN: is required when pods may listen on different ports"]
    assert from_env(srv | {"HEADWAY_LISTEN": ":8080"}).settings.services[0].name == "orders"


def test_space_around_a_value_is_nothing() -> None:
    """A value from a file with its newline still there means the same."""
    loaded = from_env({"HEADWAY_TARGET": " web:80\n", "HEADWAY_BALANCER": "Random "})

    assert row(loaded, "HEADWAY_TARGET") == Row("HEADWAY_TARGET", "web:80", "environment")
    assert loaded.settings.services[0].balancer == Balancer.RANDOM


def test_off_is_shown_like_any_other_value() -> None:
    """A page that was turned off is still in the list of effective settings."""
    loaded = from_env(WEB | {"HEADWAY_ADMIN_LISTEN": "off"})

    assert loaded.settings.admin_listen is None
    assert row(loaded, "HEADWAY_ADMIN_LISTEN") == Row("HEADWAY_ADMIN_LISTEN", "off", "environment")
    assert len(loaded.rows) == len(SERVICE_FIELDS) + len(PROCESS_FIELDS)


def test_every_fault_at_once() -> None:
    """One start is enough to read everything that is wrong: variable, value, reason, what is allowed."""
    env = {
        "HEADWAY_TARGET": "web",
        "HEADWAY_BALANCER": "p3c",
        "HEADWAY_DNS_INTERVAL": "5",
        "HEADWAY_CONNECT_ATTEMPTS": "",
        "HEADWAY_LISTN": ":80",
        "HEADWAY_LOG_LEVEL": "verbose",
    }

    assert faults(env) == [
        "HEADWAY_LOG_LEVEL=verbose: is not known; allowed: debug, info, warning, error",
        "HEADWAY_TARGET=web: has no port; allowed: host:port (the port is the pods' targetPort),"
        " srv://_port._proto.host or static://ip:port,ip:port",
        "HEADWAY_BALANCER=p3c: is not known; did you mean p2c?;"
        " allowed: p2c, least_connections, round_robin, random, peak_ewma, maglev, ordered,"
        " or module:factory for one of your own",
        "HEADWAY_DNS_INTERVAL=5: is not a duration;"
        " allowed: a duration such as 250ms, 5s or 1m, from 100ms to 1h",
        "HEADWAY_CONNECT_ATTEMPTS=: is empty; allowed: a whole number from 1 to 100",
        "HEADWAY_LISTN=:80: is not a setting; did you mean HEADWAY_LISTEN?",
    ]


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "caf\udcc3", "a\x00b"])
def test_what_cannot_be_printed_is_refused(text: str) -> None:
    """A value that would spoil the terminal or a log line is refused, and shown escaped, on one line."""
    problem = "has characters that cannot be printed; allowed: any printable text"

    assert faults(WEB | {"HEADWAY_POD_NAME": text}) == [f"HEADWAY_POD_NAME={text!r}: {problem}"]


@pytest.mark.parametrize(
    "name,meant",
    [
        ("HEADWAY_BALANCR", "HEADWAY_BALANCER"),
        ("HEADWAY_TARGETS", "HEADWAY_TARGET"),
        ("HEADWAY_SERVICE", "HEADWAY_SERVICES"),
        ("HEADWAY_DNS_INTERVAL_S", "HEADWAY_DNS_INTERVAL"),
        ("HEADWAY_TELEMETRY_PORT", "HEADWAY_TELEMETRY_LISTEN"),
        ("HEADWAY_ORDERS_TARGET", "HEADWAY_TARGET"),
        ("HEADWAY_target", "HEADWAY_TARGET"),
        ("headway_target", "HEADWAY_TARGET"),
        ("Headway_Relay", "HEADWAY_RELAY"),
        ("HEADWAY_XYZ", ""),
        ("HEADWAY_", ""),
    ],
)
def test_unknown_names(name: str, meant: str) -> None:
    """A misspelt name is not silently without effect: the user reads which one was probably meant."""
    hint = f"; did you mean {meant}?" if meant else ""

    assert faults(WEB | {name: "1"}) == [f"{name}=1: is not a setting{hint}"]


@pytest.mark.parametrize("name", ["PATH", "POD_IP", "headway_home", "HEADWAYS_TARGET", "TARGET", "LISTEN"])
def test_other_peoples_variables(name: str) -> None:
    """What does not start with HEADWAY_ is none of our business."""
    assert faults(WEB | {name: "whatever"}) == []


@pytest.mark.parametrize(
    "name,text",
    [
        ("HEADWAY_SERVICE_HOST", "10.0.0.1"),
        ("HEADWAY_SERVICE_HOST", "fd00::a1"),
        ("HEADWAY_SERVICE_PORT", "80"),
        ("HEADWAY_SERVICE_PORT_HTTP_WEB", "80"),
        ("HEADWAY_PORT", "tcp://10.0.0.1:80"),
        ("HEADWAY_PORT", "udp://[fd00::a1]:80"),
        ("HEADWAY_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("HEADWAY_PORT_80_TCP_PROTO", "tcp"),
        ("HEADWAY_PORT_80_TCP_PORT", "80"),
        ("HEADWAY_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("HEADWAY_PORT_53_UDP_ADDR", "fd00::a1"),
        ("HEADWAY_WEB_2_SERVICE_HOST", "10.0.0.1"),
        ("HEADWAY_HEALTH_PORT", "tcp://10.0.0.1:80"),
    ],
)
def test_kubernetes_service_links(name: str, text: str) -> None:
    """What Kubernetes sets for a Service called headway or headway-… does not stop the sidecar."""
    assert faults(WEB | {name: text}) == []


@pytest.mark.parametrize(
    "name,text",
    [
        ("HEADWAY_PORT", "8080"),
        ("HEADWAY_HEALTHY_PORT", "8080"),
        ("HEADWAY_SERVICE_HOST", "web"),
        ("HEADWAY_SERVICE_PORT", "tcp"),
        ("HEADWAY_HOST", "10.0.0.1"),
    ],
)
def test_what_only_looks_like_a_service_link(name: str, text: str) -> None:
    """A setting that somebody guessed is refused even if Kubernetes sets variables of a similar name."""
    (fault,) = faults(WEB | {name: text})

    assert fault.startswith(f"{name}={text}: is not a setting")


def test_identity_from_the_downward_api() -> None:
    """POD_NAME is read without the prefix too, and the one with the prefix wins."""
    plain = from_env(WEB | {"POD_NAME": "web-1", "POD_NAMESPACE": "shop"})
    both = from_env(WEB | {"POD_NAME": "web-1", "HEADWAY_POD_NAME": "mine"})

    assert (plain.settings.pod_name, plain.settings.pod_namespace) == ("web-1", "shop")
    assert row(plain, "HEADWAY_POD_NAME") == Row("HEADWAY_POD_NAME", "web-1", "environment, POD_NAME")
    assert both.settings.pod_name == "mine"
    assert row(both, "HEADWAY_POD_NAME").origin == "environment"


def test_an_empty_pod_name_of_others_is_none() -> None:
    """A POD_NAME without the prefix may be left empty by whoever set it."""
    assert from_env(WEB | {"POD_NAME": ""}).settings.pod_name == ""


SETTINGS = [variable(field) for field in (SERVICE_FIELDS | PROCESS_FIELDS)]
OWNERS = st.sampled_from(["", "A_", "B_", "ADMIN_", "_", "SERVICE_"])
NAMES = st.builds(
    "{}{}".format, OWNERS, st.sampled_from([*SETTINGS, "SERVICES", "PORT"]) | st.text(max_size=8)
)
TEXTS = st.text(max_size=12) | st.sampled_from(
    [
        *("a", "a,b", "a-b,a_b", "admin", "web:80", "localhost:9901", "static://127.0.0.1:1,127.0.0.1:2"),
        *(
            ":9902",
            "127.0.0.1:9901",
            "off",
            "unix:/a",
            "5s",
            "0",
            "50%",
            "3",
            "p2c",
            "tcp",
            "info",
            "tcp://1:1",
        ),
    ]
)
SOUND = st.sampled_from([{}, WEB, {"HEADWAY_SERVICES": "a", "HEADWAY_A_TARGET": "[fd00::1]:80"}])
SPOILT = st.dictionaries(NAMES.map("HEADWAY_{}".format), TEXTS, max_size=5)


@pytest.mark.slow
@settings(max_examples=200, deadline=None, derandomize=True)
@given(SOUND, SPOILT)
def test_any_environment_is_accepted_or_explained(sound: dict[str, str], spoilt: dict[str, str]) -> None:
    """Whatever is set, there are settings or a list of faults, each about a variable; never anything else."""
    try:
        loaded = from_env(sound | spoilt)
    except SettingsError as error:
        assert error.faults
        assert all(str(fault).startswith("HEADWAY_") for fault in error.faults)
    else:
        assert all(row.value and row.value.isprintable() for row in loaded.rows)
        again = {row.variable: row.value for row in loaded.rows if row.origin != "default"}
        assert from_env(again).settings == loaded.settings


@pytest.mark.parametrize(
    "less,more,long",
    [
        ("CONNECT_TIMEOUT", "CONNECT_DEADLINE", "5m"),
        ("EJECT_BASE", "EJECT_MAX", "5m"),
        ("HEALTH_TIMEOUT", "HEALTH_INTERVAL", "1m"),
    ],
)
def test_a_value_that_another_would_cut_short(less: str, more: str, long: str) -> None:
    """Both set, one makes nonsense of the other: that is said. A default gives way, and shows it."""
    less, more = f"HEADWAY_{less}", f"HEADWAY_{more}"
    assert faults(WEB | {less: "2s", more: "1s"}) == [f"{less}=2s: is longer than {more}=1s"]
    from_env(WEB | {less: "2s", more: "2s"})

    assert row(from_env(WEB | {more: "500ms"}), less) == Row(less, "500ms", f"default, as {more}")
    assert row(from_env(WEB | {less: long}), more).value == long
    assert row(from_env(WEB | {less: "1s"}), more).origin == "default"


def test_spares_for_which_an_endpoint_has_no_room() -> None:
    """They count as connections, so more than the cap never exist. 0 is no cap, `auto` keeps within it."""
    spares, cap = "HEADWAY_SPARE_CONNECTIONS", "HEADWAY_MAX_CONNECTIONS_PER_ENDPOINT"

    assert faults(WEB | {spares: "5", cap: "3"}) == [f"{spares}=5: is more than {cap}=3"]
    for fine in ({spares: "3", cap: "3"}, {spares: "5", cap: "0"}, {spares: "5"}, {spares: "auto", cap: "3"}):
        from_env(WEB | fine)


def test_a_quiet_time_that_the_drain_would_cut_short() -> None:
    """The default of DRAIN_QUIET gives way; that of DRAIN_TIMEOUT does not grow over the grace period."""
    quiet, timeout = "HEADWAY_DRAIN_QUIET", "HEADWAY_DRAIN_TIMEOUT"

    assert faults(WEB | {quiet: "2s", timeout: "1s"}) == [f"{quiet}=2s: is longer than {timeout}=1s"]
    assert faults(WEB | {quiet: "26s"}) == [
        f"{quiet}=26s: is longer than {timeout}, by default 25s: set that, too"
    ]
    assert row(from_env(WEB | {timeout: "500ms"}), quiet) == Row(quiet, "500ms", f"default, as {timeout}")
    assert from_env(WEB | {timeout: "0"}).settings.drain_quiet_s == 0
