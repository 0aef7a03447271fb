"""Every setting, once: its field with unit and type, name, default, and what it means."""

from enum import StrEnum
from typing import Annotated, Any, get_type_hints

import msgspec

from proxy.config import targets, values
from proxy.config.targets import Target
from proxy.config.values import Kind, Listen, count, duration, one_of, share
from proxy.model import Address

Seconds = float
Share = float


class Setting(msgspec.Struct, frozen=True):
    """What one field may hold; a `default` of None is required or worked out, `shown` says from what."""

    kind: Kind[Any]
    default: str | None
    meaning: str
    shown: str = ""


class Balancer(StrEnum):
    P2C = "p2c"
    LEAST_CONNECTIONS = "least_connections"
    ROUND_ROBIN = "round_robin"
    RANDOM = "random"


class IpFamily(StrEnum):
    AUTO = "auto"
    IPV4 = "ipv4"
    IPV6 = "ipv6"


class HealthCheck(StrEnum):
    TCP = "tcp"
    OFF = "off"


class ReadyWhen(StrEnum):
    LISTENING = "listening"
    RESOLVED = "resolved"
    ENDPOINT = "endpoint"


class AccessLog(StrEnum):
    OFF = "off"
    FAILURES = "failures"
    ALL = "all"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    AUTO = "auto"
    JSON = "json"
    TEXT = "text"


class ServiceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One service. With SERVICES, each of these can be set as <NAME>_<SETTING>."""

    name: str
    prefix: str = ""  # of its variables: ORDERS_ for the service "orders", none for a lone one

    target: Annotated[Target, Setting(targets.target, None, "where the pods are found", "required")]
    listen: Annotated[
        Listen,
        Setting(values.listen, None, "where the application connects", "127.0.0.1, at the target's port"),
    ]
    balancer: Annotated[
        Balancer, Setting(one_of(Balancer), "p2c", "how the pod of a new connection is chosen")
    ]

    dns_interval_s: Annotated[
        Seconds,
        Setting(
            duration("100ms", "1h"),
            "5s",
            "time between polls, ±20 % jitter; a connect failure asks sooner (at most once a second)",
        ),
    ]
    dns_servers: Annotated[
        tuple[Address, ...],
        Setting(values.nameservers, None, "name servers to ask", "those of resolv.conf"),
    ]
    dns_timeout_s: Annotated[
        Seconds,
        Setting(duration("50ms", "1m"), "2s", "deadline of one query, all tries included"),
    ]
    dns_hold_s: Annotated[
        Seconds,
        Setting(
            duration("1ms", "24h", zero="believed at once"),
            "30s",
            "how long NXDOMAIN or an empty answer is not believed while endpoints still prove alive",
        ),
    ]
    dns_shrink_guard: Annotated[
        Share,
        Setting(
            share(),
            "50%",
            "an answer that drops more than this share must be confirmed by the next one (100% = never)",
        ),
    ]
    ip_family: Annotated[
        IpFamily,
        Setting(
            one_of(IpFamily), "auto", "which addresses to ask for; auto: both, and all answers are endpoints"
        ),
    ]

    health_check: Annotated[
        HealthCheck,
        Setting(one_of(HealthCheck), "tcp", "tcp: an endpoint is well when it accepts"),
    ]
    health_interval_s: Annotated[
        Seconds,
        Setting(
            duration("100ms", "1h"),
            "5s",
            "time between checks of an endpoint, ±20 % jitter; first checks are spread over it",
        ),
    ]
    health_timeout_s: Annotated[Seconds, Setting(duration("10ms", "1m"), "1s", "deadline of one check")]
    health_rise: Annotated[
        int,
        Setting(
            count(1, 100), "2", "passed checks in a row that bring an endpoint back; a new one needs one"
        ),
    ]
    health_fall: Annotated[int, Setting(count(1, 100), "3", "failed checks in a row that take it out")]

    eject_after: Annotated[
        int,
        Setting(count(0, 1000, zero="off"), "3", "connect failures in a row that eject an endpoint"),
    ]
    eject_base_s: Annotated[
        Seconds,
        Setting(duration("100ms", "1h"), "5s", "first ejection; doubles with each further"),
    ]
    eject_max_s: Annotated[Seconds, Setting(duration("100ms", "24h"), "5m", "longest ejection")]
    eject_share: Annotated[
        Share,
        Setting(share(), "50%", "at most this share is ejected; one may always be, never all of them"),
    ]

    connect_timeout_s: Annotated[
        Seconds,
        Setting(duration("10ms", "5m"), "1s", "deadline of one connection attempt"),
    ]
    connect_attempts: Annotated[int, Setting(count(1, 100), "3", "endpoints tried for one connection")]
    connect_deadline_s: Annotated[
        Seconds,
        Setting(duration("100ms", "10m"), "5s", "all of it, waiting for a first endpoint included"),
    ]

    idle_timeout_s: Annotated[
        Seconds,
        Setting(
            duration("100ms", "720h", zero="never"),
            "1h",
            "a connection without a byte for this long is closed",
        ),
    ]
    half_close_timeout_s: Annotated[
        Seconds,
        Setting(
            duration("100ms", "720h", zero="never"), "60s", "the same once one side has finished sending"
        ),
    ]
    tcp_keepalive_s: Annotated[
        Seconds,
        Setting(duration("1s", "9h", zero="off"), "30s", "idle time before keepalive probes, on both sides"),
    ]
    tcp_user_timeout_s: Annotated[
        Seconds,
        Setting(
            duration("100ms", "24h", zero="the system's"),
            "30s",
            "how long sent bytes may stay unacknowledged or unread, on both sides; not on loopback addresses",
        ),
    ]

    ready_when: Annotated[
        ReadyWhen,
        Setting(
            one_of(ReadyWhen),
            "resolved",
            "/readyz turns 200 once listening, with a first answer (whatever it says), or a usable endpoint",
        ),
    ]
    access_log: Annotated[AccessLog, Setting(one_of(AccessLog), "off", "one line for each ended connection")]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The process: its services, and what they share."""

    services: tuple[ServiceSettings, ...]

    drain_timeout_s: Annotated[
        Seconds,
        Setting(
            duration("1ms", "24h", zero="at once"),
            "25s",
            "after SIGTERM: the latest end; connections still open then are reset",
        ),
    ]
    drain_quiet_s: Annotated[
        Seconds,
        Setting(
            duration("1ms", "1h", zero="no wait"),
            "1s",
            "after SIGTERM: it ends once no connection is open and none came for this long",
        ),
    ]
    telemetry_listen: Annotated[
        Listen | None,
        Setting(
            values.listen_or_off,
            ":9902",
            "/livez, /readyz and /metrics, read-only: for the kubelet and Prometheus",
        ),
    ]
    admin_listen: Annotated[
        Listen | None,
        Setting(
            values.listen_or_off,
            "127.0.0.1:9901",
            "all of that, and /endpoints, /dns, /config, POST /drain, POST /quit",
        ),
    ]
    log_level: Annotated[LogLevel, Setting(one_of(LogLevel), "info", "the least that is logged")]
    log_format: Annotated[
        LogFormat,
        Setting(one_of(LogFormat), "auto", "auto: text on a terminal, json elsewhere"),
    ]
    pod_name: Annotated[
        str,
        Setting(
            values.plain_text,
            "",
            "this pod (downward API), named in JSON log lines; read without the prefix too",
            "none",
        ),
    ]
    pod_namespace: Annotated[
        str, Setting(values.plain_text, "", "its namespace; read without the prefix too", "none")
    ]

    @property
    def pod(self) -> dict[str, str]:
        """Who this pod is, as far as it is known: fields of each log line."""
        known = {"pod": self.pod_name, "namespace": self.pod_namespace}
        return {label: value for label, value in known.items() if value}


def variable(field: str) -> str:
    """The name of `field` in the environment, without its prefix: dns_interval_s is DNS_INTERVAL."""
    return field.removesuffix("_s").upper()


def fields_of(cls: type[msgspec.Struct]) -> dict[str, Setting]:
    """The settings of `cls` by field name, in order."""
    hints = get_type_hints(cls, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items() if hasattr(hint, "__metadata__")}


SERVICE_FIELDS = fields_of(ServiceSettings)
PROCESS_FIELDS = fields_of(Settings)
