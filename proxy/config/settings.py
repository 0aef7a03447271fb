"""Every setting of the process, once, as in service.py."""

from typing import Annotated

import msgspec

from proxy.config import targets, values
from proxy.config.listen import Listen, listen_or_off
from proxy.config.service import ServiceSettings
from proxy.config.setting import Seconds, Setting, fields_of
from proxy.config.values import count, count_or_auto, duration, one_of
from proxy.config.words import LogFormat, LogLevel, RelayKind


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The process: its services, and what they share."""

    services: tuple[ServiceSettings, ...]

    fleet: Annotated[
        str | None,
        Setting(
            targets.hostname,
            None,
            "headless Service of the pods that run this sidecar: the more there are, the rarer each checks",
            "none",
        ),
    ]
    max_connections: Annotated[
        int | None,
        Setting(
            count_or_auto(1, 1_000_000),
            "auto",
            "connections at a time, more wait for CONNECT_DEADLINE; auto: as descriptors and memory allow",
        ),
    ]
    drain_timeout_s: Annotated[
        Seconds,
        Setting(
            duration("1ms", "24h", zero="at once"),
            "25s",
            "after SIGTERM: the latest end; connections at rest are closed then, the others reset",
        ),
    ]
    drain_quiet_s: Annotated[
        Seconds,
        Setting(
            duration("1ms", "1h", zero="no wait"),
            "1s",
            "after SIGTERM: it ends once no connection is open and none came for this long; "
            "inherited sockets are left this long before DRAIN_TIMEOUT",
        ),
    ]
    relay: Annotated[
        RelayKind,
        Setting(
            one_of(RelayKind),
            "auto",
            "what moves the bytes: native threads or Python's loop; auto: native where it is built",
        ),
    ]
    relay_threads: Annotated[int, Setting(count(1, 16), "1", "threads of the native relay")]
    relay_spin: Annotated[
        bool,
        Setting(
            values.flag,
            "false",
            "busy threads that nobody preempts look for 20 µs before they sleep: more CPU, less delay",
        ),
    ]
    telemetry_listen: Annotated[
        Listen | None,
        Setting(
            listen_or_off,
            ":9902",
            "/livez, /readyz and /metrics, read-only: for the kubelet and Prometheus",
        ),
    ]
    admin_listen: Annotated[
        Listen | None,
        Setting(
            listen_or_off,
            "127.0.0.1:9901",
            "all of that, and /endpoints, /why, /dns, /config, POST /drain, POST /quit",
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
            "this pod (downward API), for subsets, hashing and JSON log lines; read without the prefix too. "
            "The first two take the host name instead, which is the pod's name unless it uses hostNetwork",
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


PROCESS_FIELDS = fields_of(Settings)
