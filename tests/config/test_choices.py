"""Settings that mean something only beside another one, and what may be written in those of a choice."""

import pytest

from proxy.config import from_env
from proxy.errors import SettingsError
from tests.config.refusals import faults
from tests.config.test_settings import rows

ITS_OWN = [  # setting, value, what else makes it mean something, and what does not
    ("HASH_KEY", "pod", {"BALANCER": "maglev"}, {"BALANCER": "p2c"}),
    ("HASH_KEY", "sni", {"BALANCER": "mine:make"}, {}),
    ("HASH_BALANCE_FACTOR", "200%", {"BALANCER": "maglev"}, {}),
    ("HEALTH_PATH", "/healthz?full=1", {"HEALTH_CHECK": "http"}, {"HEALTH_CHECK": "grpc"}),
    ("HEALTH_STATUS", "200-299,404", {"HEALTH_CHECK": "http"}, {"HEALTH_CHECK": "tcp"}),
    ("HEALTH_HOST", "web.shop:80", {"HEALTH_CHECK": "grpc"}, {"HEALTH_CHECK": "tcp"}),
    ("HEALTH_SERVICE", "shop.Orders", {"HEALTH_CHECK": "grpc"}, {"HEALTH_CHECK": "http"}),
    ("HEALTH_PORT", "8081", {}, {"HEALTH_CHECK": "off"}),
    ("HEALTH_INTERVAL", "9s", {}, {"HEALTH_CHECK": "off"}),
    ("HEALTH_TIMEOUT", "2s", {"HEALTH_CHECK": "http"}, {"HEALTH_CHECK": "off"}),
    ("HEALTH_RISE", "5", {}, {"HEALTH_CHECK": "off"}),
    ("HEALTH_FALL", "5", {"HEALTH_CHECK": "grpc"}, {"HEALTH_CHECK": "off"}),
    ("HEALTH_PASSIVE_FIRST", "false", {}, {"HEALTH_CHECK": "off"}),
    ("HEALTH_BUDGET", "5", {}, {"HEALTH_CHECK": "off"}),
    ("PROXY_PROTOCOL_FROM", "10.0.0.0/8", {"PROXY_PROTOCOL_ACCEPT": "true"}, {}),
    ("CLOSE_ON_UNHEALTHY", "true", {}, {"HEALTH_CHECK": "off"}),
    ("REBALANCE", "10%", {"BALANCER": "round_robin"}, {"BALANCER": "ordered"}),
    ("REBALANCE", "100%", {}, {"BALANCER": "maglev"}),
    ("REBALANCE", "off", {}, {"BALANCER": "mine:make"}),
    ("SPARE_MAX_AGE", "9s", {"SPARE_CONNECTIONS": "2"}, {}),
    ("SPARE_MAX_AGE", "9s", {"SPARE_CONNECTIONS": "auto"}, {"SPARE_CONNECTIONS": "0"}),
    ("RELAY_THREADS", "2", {}, {"RELAY": "asyncio"}),
    ("RELAY_SPIN", "true", {"RELAY": "native"}, {"RELAY": "asyncio"}),
]


@pytest.mark.parametrize("name,text,beside,without", ITS_OWN)
def test_settings_of_a_choice(name: str, text: str, beside: dict[str, str], without: dict[str, str]) -> None:
    """A setting that means something only beside another one is refused without it, not ignored."""
    assert rows(**{name: text} | beside)[f"HEADWAY_{name}"].value == text

    others = "BALANCER|HEALTH_CHECK|PROXY_PROTOCOL_ACCEPT|SPARE_CONNECTIONS|RELAY"
    with pytest.raises(SettingsError, match=f"HEADWAY_{name}=.*: means nothing without ({others})="):
        rows(**{name: text} | without)


def test_a_setting_for_one_of_several_services() -> None:
    """What all services share may be for one of them only; what is a service's own must be for it."""
    two = {
        "HEADWAY_SERVICES": "a,b",
        "HEADWAY_A_TARGET": "a:80",
        "HEADWAY_B_TARGET": "b:81",
        "HEADWAY_A_HEALTH_CHECK": "http",
    }
    assert from_env(two | {"HEADWAY_HEALTH_PATH": "/well"}).settings.services[0].health_path == "/well"

    with pytest.raises(SettingsError, match="HEADWAY_B_HEALTH_PATH=/well: means nothing"):
        from_env(two | {"HEADWAY_B_HEALTH_PATH": "/well"})


@pytest.mark.parametrize(
    "name,text,problem",
    [
        ("HEALTH_STATUS", "99", "no range of HTTP statuses"),
        ("HEALTH_STATUS", "200-600", "no range of HTTP statuses"),
        ("HEALTH_STATUS", "300-200", "no range of HTTP statuses"),
        ("HEALTH_STATUS", "ok", "not an HTTP status"),
        ("HEALTH_PATH", "well", "must start with /"),
        ("HEALTH_PATH", "?well", "must start with /"),
        ("HEALTH_PATH", "/a b", "characters"),
        ("HEALTH_HOST", "http://web", "characters"),
        ("HEALTH_PORT", "0", "out of range"),
        ("HEALTH_PORT", "65536", "out of range"),
    ],
)
def test_wrong_values_for_checks(name: str, text: str, problem: str) -> None:
    """What cannot be asked of a pod is refused at the start."""
    with pytest.raises(SettingsError, match=f"HEADWAY_{name}=.*{problem}.*; allowed: "):
        rows(**{name: text, "HEALTH_CHECK": "http"})


@pytest.mark.parametrize("text", ["mine:Picker", "company.balancing.sticky:make"])
def test_a_balancer_of_the_users_own(text: str) -> None:
    """module:factory is taken as it is; nothing is imported for it, as webhooks read settings as well."""
    assert rows(BALANCER=text)["HEADWAY_BALANCER"].value == text


@pytest.mark.parametrize("text", ["mine:", ":make", "mine:a b", "mine.py:make()", "a:b:c", "../x:y"])
def test_no_balancer_of_anyones(text: str) -> None:
    """Whatever is neither a word nor module:factory is refused with both forms."""
    with pytest.raises(
        SettingsError, match=r"HEADWAY_BALANCER=.*: is not known.*; allowed: p2c.*module:factory"
    ):
        rows(BALANCER=text)


@pytest.mark.parametrize(
    "text,allowed", [("0%", True), ("100%", True), ("1000%", True), ("99%", False), ("1001%", False)]
)
def test_the_bound_of_maglev(text: str, allowed: bool) -> None:
    """An endpoint may always have the mean; 0% is no bound at all."""
    if allowed:
        assert rows(BALANCER="maglev", HASH_BALANCE_FACTOR=text)["HEADWAY_HASH_BALANCE_FACTOR"].value == text
        return
    with pytest.raises(SettingsError, match=r"out of range; allowed: .* from 100% to 1000%, or 0 = no bound"):
        rows(BALANCER="maglev", HASH_BALANCE_FACTOR=text)


def test_a_wrong_value_that_would_mean_nothing_either() -> None:
    """One variable has one line, that says all: correcting the value alone would not help."""
    found = faults({"HEADWAY_TARGET": "web:80", "HEADWAY_HEALTH_PATH": "well", "HEADWAY_HEALTH_STATUS": "ok"})

    assert found == [
        "HEADWAY_HEALTH_PATH=well: must start with /; allowed: a path such as /healthz?full=1;"
        " and it means nothing without HEALTH_CHECK=http",
        "HEADWAY_HEALTH_STATUS=ok: has 'ok', which is not an HTTP status; allowed: HTTP statuses from 100 to"
        " 599 and ranges of them, such as 200-299,404; and it means nothing without HEALTH_CHECK=http",
    ]


def test_what_only_the_process_can_say() -> None:
    """A picker that is not there is reported with all else that is wrong, by the variable that names it."""
    env = {"HEADWAY_SERVICES": "a,b", "HEADWAY_A_TARGET": "a:80", "HEADWAY_BALANCER": "nomod:fac"}

    with pytest.raises(SettingsError) as caught:
        from_env(env, {"balancer": lambda text: f"has no {text}", "relay": lambda text: "is not here"})

    assert [str(fault) for fault in caught.value.faults] == [
        "HEADWAY_B_TARGET: is required: host:port (the port is the pods' targetPort), srv://_port._proto.host"
        " or static://ip:port,ip:port",
        "HEADWAY_BALANCER=nomod:fac: has no nomod:fac",
    ]


@pytest.mark.parametrize(
    "text,allowed", [("1%", True), ("100%", True), ("0%", False), ("10", False), ("101%", False)]
)
def test_a_share_or_off(text: str, allowed: bool) -> None:
    """REBALANCE closes something or is off, by that word."""
    if allowed:
        assert rows(REBALANCE=text)["HEADWAY_REBALANCE"].value == text
        return
    with pytest.raises(
        SettingsError, match=r"HEADWAY_REBALANCE=.*; allowed: off, or a share .* from 1% to 100%"
    ):
        rows(REBALANCE=text)
