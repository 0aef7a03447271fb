"""The settings there are: their names, defaults and limits are a promise to whoever writes a manifest."""

import pytest

from proxy.config import Listen, Row, from_env
from proxy.config.service import SERVICE_FIELDS
from proxy.config.setting import Setting, variable
from proxy.config.settings import PROCESS_FIELDS
from proxy.errors import SettingsError

DEFAULTS = {  # as `headway check` shows them with HEADWAY_TARGET=web.shop:8080
    "FLEET": "none",
    "MAX_CONNECTIONS": "auto",
    "DRAIN_TIMEOUT": "25s",
    "DRAIN_QUIET": "1s",
    "RELAY": "auto",
    "RELAY_THREADS": "1",
    "RELAY_SPIN": "false",
    "TELEMETRY_LISTEN": ":9902",
    "ADMIN_LISTEN": "127.0.0.1:9901",
    "LOG_LEVEL": "info",
    "LOG_FORMAT": "auto",
    "POD_NAME": "none",
    "POD_NAMESPACE": "none",
    "TARGET": "web.shop:8080",
    "LISTEN": "127.0.0.1:8080",
    "BALANCER": "p2c",
    "HASH_KEY": "client",
    "HASH_BALANCE_FACTOR": "125%",
    "SUBSET_SIZE": "0",
    "SLOW_START": "10s",
    "PANIC_THRESHOLD": "0%",
    "DNS_INTERVAL": "5s",
    "DNS_SERVERS": "those of resolv.conf",
    "DNS_TIMEOUT": "2s",
    "DNS_HOLD": "30s",
    "DNS_SHRINK_GUARD": "50%",
    "IP_FAMILY": "auto",
    "HEALTH_CHECK": "tcp",
    "HEALTH_INTERVAL": "5s",
    "HEALTH_TIMEOUT": "1s",
    "HEALTH_RISE": "2",
    "HEALTH_FALL": "3",
    "HEALTH_PORT": "where connections go",
    "HEALTH_PATH": "/",
    "HEALTH_HOST": "the target's host",
    "HEALTH_STATUS": "200-399",
    "HEALTH_SERVICE": "the server as a whole",
    "HEALTH_PASSIVE_FIRST": "true",
    "HEALTH_BUDGET": "20",
    "CLOSE_ON_UNHEALTHY": "false",
    "EJECT_AFTER": "3",
    "EJECT_BASE": "5s",
    "EJECT_MAX": "5m",
    "EJECT_SHARE": "50%",
    "CONNECT_TIMEOUT": "1s",
    "CONNECT_ATTEMPTS": "3",
    "CONNECT_DEADLINE": "5s",
    "SPARE_CONNECTIONS": "0",
    "SPARE_MAX_AGE": "30s",
    "MAX_CONNECTIONS_PER_ENDPOINT": "0",
    "QUEUE_SIZE": "1024",
    "RETRY_BUDGET": "20%",
    "IDLE_TIMEOUT": "1h",
    "HALF_CLOSE_TIMEOUT": "1m",
    "MAX_CONNECTION_AGE": "0",
    "REBALANCE": "off",
    "TCP_KEEPALIVE": "30s",
    "TCP_USER_TIMEOUT": "30s",
    "PROXY_PROTOCOL_SEND": "off",
    "PROXY_PROTOCOL_ACCEPT": "false",
    "PROXY_PROTOCOL_FROM": "this pod only",
    "READY_WHEN": "resolved",
    "ACCESS_LOG": "off",
}


def rows(**variables: str) -> dict[str, Row]:
    env = {"HEADWAY_TARGET": "web.shop:8080"} | {f"HEADWAY_{name}": text for name, text in variables.items()}
    return {row.variable: row for row in from_env(env).rows}


def test_defaults() -> None:
    """With a target alone every other setting has the default that the documentation names."""
    shown = {name.removeprefix("HEADWAY_"): row.value for name, row in rows().items()}

    assert shown == DEFAULTS
    assert {row.origin for name, row in rows().items() if name != "HEADWAY_TARGET"} == {"default"}


def test_a_default_in_the_code_is_the_value_shown() -> None:
    """The values that the proxy works with are those that are shown."""
    settings = from_env({"HEADWAY_TARGET": "web.shop:8080"}).settings
    (service,) = settings.services

    assert (settings.drain_timeout_s, settings.pod_name, settings.telemetry_listen) == (
        25,
        "",
        Listen("", 9902),
    )
    assert (service.name, service.prefix, service.listen) == ("web", "", (Listen("127.0.0.1", 8080),))
    assert (service.idle_timeout_s, service.eject_share, service.dns_servers) == (3600, 0.5, ())


LIMITS = {  # setting: the smallest and the largest value, and what 0 means if it is allowed
    "DRAIN_TIMEOUT": ("1ms", "24h", "at once"),
    "DRAIN_QUIET": ("1ms", "1h", "no wait"),
    "MAX_CONNECTIONS": ("1", "1000000", ""),
    "RELAY_THREADS": ("1", "16", ""),
    "DNS_INTERVAL": ("100ms", "1h", ""),
    "DNS_TIMEOUT": ("50ms", "1m", ""),
    "DNS_HOLD": ("1ms", "24h", "believed at once"),
    "HEALTH_INTERVAL": ("100ms", "1h", ""),
    "HEALTH_TIMEOUT": ("10ms", "1m", ""),
    "HEALTH_RISE": ("1", "100", ""),
    "HEALTH_FALL": ("1", "100", ""),
    "HEALTH_BUDGET": ("0", "10000", "no limit"),
    "SUBSET_SIZE": ("0", "10000", "all"),
    "SLOW_START": ("100ms", "1h", "off"),
    "PANIC_THRESHOLD": ("0%", "100%", ""),
    "RETRY_BUDGET": ("0%", "1000%", ""),
    "MAX_CONNECTIONS_PER_ENDPOINT": ("0", "1000000", "no cap"),
    "QUEUE_SIZE": ("0", "1000000", "none wait"),
    "EJECT_AFTER": ("0", "1000", "off"),
    "EJECT_BASE": ("100ms", "1h", ""),
    "EJECT_MAX": ("100ms", "24h", ""),
    "EJECT_SHARE": ("0%", "100%", ""),
    "CONNECT_TIMEOUT": ("10ms", "5m", ""),
    "CONNECT_ATTEMPTS": ("1", "100", ""),
    "CONNECT_DEADLINE": ("100ms", "10m", ""),
    "IDLE_TIMEOUT": ("100ms", "720h", "never"),
    "HALF_CLOSE_TIMEOUT": ("100ms", "720h", "never"),
    "MAX_CONNECTION_AGE": ("1s", "720h", "never"),
    "TCP_KEEPALIVE": ("1s", "9h", "off"),
    "TCP_USER_TIMEOUT": ("100ms", "24h", "the system's"),
}


def beyond(limit: str, by: int) -> str:
    number = limit.rstrip("msh%")
    return f"{int(number) + by}{limit.removeprefix(number)}"


@pytest.mark.parametrize("name,low,high,zero", [(name, *limits) for name, limits in LIMITS.items()])
def test_limits(name: str, low: str, high: str, zero: str) -> None:
    """Each number is accepted up to its limits, which the hint names, with what 0 means."""
    says = f"HEADWAY_{name}=.*: is .*; allowed: .* from {low} to {high}" + (
        f".*0 = {zero}" if zero else "(, or auto)?$"
    )

    assert rows(**{name: low})[f"HEADWAY_{name}"].value == low
    beside = {"DRAIN_TIMEOUT": "24h"} if name == "DRAIN_QUIET" else {}
    assert rows(**{name: high} | beside)[f"HEADWAY_{name}"].value == high
    with pytest.raises(SettingsError, match=says):
        rows(**{name: beyond(high, 1)})
    if zero:
        assert rows(**{name: "0"})[f"HEADWAY_{name}"].value == "0"
    else:
        with pytest.raises(SettingsError, match=says):
            rows(**{name: beyond(low, -1)})


WORDS = {
    "BALANCER": "p2c, least_connections, round_robin, random, peak_ewma, maglev, ordered",
    "IP_FAMILY": "auto, ipv4, ipv6",
    "HEALTH_CHECK": "tcp, http, grpc, off",
    "HEALTH_PASSIVE_FIRST": "true, false",
    "CLOSE_ON_UNHEALTHY": "true, false",
    "READY_WHEN": "listening, resolved, endpoint",
    "PROXY_PROTOCOL_SEND": "off, v1, v2",
    "PROXY_PROTOCOL_ACCEPT": "true, false",
    "RELAY": "auto, native, asyncio",
    "RELAY_SPIN": "true, false",
    "ACCESS_LOG": "off, failures, all",
    "LOG_LEVEL": "debug, info, warning, error",
    "LOG_FORMAT": "auto, json, text",
}


@pytest.mark.parametrize("name,words", WORDS.items())
def test_words(name: str, words: str) -> None:
    """Each setting with a choice takes exactly the words it lists when another one is given."""
    for word in words.split(", "):
        assert rows(**{name: word})[f"HEADWAY_{name}"].value == word

    with pytest.raises(SettingsError, match=f"HEADWAY_{name}=nothing: is not known.*; allowed: {words}(,|$)"):
        rows(**{name: "nothing"})


LATER = ["PROTOCOL"]


@pytest.mark.parametrize("name", LATER)
@pytest.mark.parametrize("text", ["1", "10s", "auto"])
def test_settings_that_do_not_exist_yet(name: str, text: str) -> None:
    """A setting that this version does not have is refused, not silently without effect."""
    with pytest.raises(SettingsError, match=f"HEADWAY_{name}={text}: is not a setting"):
        rows(**{name: text})


def test_auto() -> None:
    """What Headway works out for itself can be asked for in so many words."""
    assert rows(MAX_CONNECTIONS="Auto")["HEADWAY_MAX_CONNECTIONS"].value == "auto"
    assert rows(SPARE_CONNECTIONS="auto")["HEADWAY_SPARE_CONNECTIONS"].value == "auto"


def test_values_that_do_not_exist_yet() -> None:
    """A choice that this version does not have is refused with those it has."""
    with pytest.raises(SettingsError, match=r"HEADWAY_TARGET=k8s://web: .* not known.*; allowed: "):
        rows(TARGET="k8s://web")


@pytest.mark.parametrize("field,setting", (SERVICE_FIELDS | PROCESS_FIELDS).items())
def test_each_setting_is_explained(field: str, setting: Setting) -> None:
    """Each setting says what it is for and what is allowed."""
    assert setting.meaning
    assert setting.kind.allowed
    assert variable(field) in DEFAULTS
