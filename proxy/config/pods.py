"""Every setting of a service that is about its pods, once: which there are, how they are, who is next."""

from typing import Annotated

import msgspec

from proxy.config import targets, values
from proxy.config.listen import Listen, listens
from proxy.config.setting import Seconds, Setting, Share
from proxy.config.targets import Target
from proxy.config.values import count, duration, one_of, one_of_or_own, share
from proxy.config.words import Balancer, HashKey, HealthCheck, IpFamily
from proxy.model import Address


class PodSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Each field with unit and type, name, default, and what it means; more of a service is in service.py."""

    name: str
    prefix: str = ""  # of its variables: ORDERS_ for the service "orders", none for a lone one

    target: Annotated[Target, Setting(targets.target, None, "where the pods are found", "required")]
    listen: Annotated[
        tuple[Listen, ...],
        Setting(listens, None, "where the application connects", "127.0.0.1, at the target's port"),
    ]
    balancer: Annotated[
        str,
        Setting(
            one_of_or_own(Balancer),
            "p2c",
            "how the pod of a new connection is chosen; ordered: the first one listed, with srv:// the "
            "lowest ordinal, with A records the lowest address; it has no slow start",
        ),
    ]
    hash_key: Annotated[
        HashKey,
        Setting(
            one_of(HashKey),
            "client",
            "for maglev: client (its address), pod (all of this pod's stick to one endpoint), sni (of TLS)",
        ),
    ]
    hash_balance_factor: Annotated[
        Share,
        Setting(
            share(100, 1000, zero="no bound"),
            "125%",
            "for maglev: one with more than this of the mean connections, and more than 32, is passed over",
        ),
    ]
    subset_size: Annotated[
        int,
        Setting(
            count(0, 10000, zero="all"),
            "0",
            "connect to this many endpoints only, by rendezvous hash of POD_NAME; more while some fail",
        ),
    ]
    slow_start_s: Annotated[
        Seconds,
        Setting(
            duration("100ms", "1h", zero="off"),
            "10s",
            "a new or recovered endpoint's share rises over this time",
        ),
    ]
    panic_threshold: Annotated[
        Share,
        Setting(share(), "0%", "when a smaller share is usable, all are used; 0% = only when none is"),
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
        Setting(
            one_of(HealthCheck),
            "tcp",
            "when an endpoint is well: it accepts (tcp), answers a GET (http), grpc.health.v1 says so (grpc)",
        ),
    ]
    health_interval_s: Annotated[
        Seconds,
        Setting(
            duration("100ms", "1h"),
            "5s",
            "time between checks of an endpoint, ±20 % jitter; first checks are spread over it",
        ),
    ]
    health_timeout_s: Annotated[
        Seconds, Setting(duration("10ms", "1m"), "1s", "deadline of one check; not above HEALTH_INTERVAL")
    ]
    health_rise: Annotated[
        int,
        Setting(
            count(1, 100), "2", "passed checks in a row that bring an endpoint back; a new one needs one"
        ),
    ]
    health_fall: Annotated[int, Setting(count(1, 100), "3", "failed checks in a row that take it out")]
    health_port: Annotated[
        int | None,
        Setting(count(1, 65535), None, "where to check, if not where connections go", "where connections go"),
    ]
    health_path: Annotated[str, Setting(values.path, "/", "for http: what to GET")]
    health_host: Annotated[
        str | None,
        Setting(
            values.host_header, None, "for http and grpc: the Host header or :authority", "the target's host"
        ),
    ]
    health_status: Annotated[
        tuple[range, ...], Setting(values.statuses, "200-399", "for http: the statuses of a well endpoint")
    ]
    health_service: Annotated[
        str, Setting(values.plain_text, "", "for grpc: the service to ask for", "the server as a whole")
    ]
    health_passive_first: Annotated[
        bool,
        Setting(
            values.flag,
            "true",
            "an endpoint whose connections succeeded within the interval is not checked; by http, grpc or at "
            "another port, which tells more, every second time",
        ),
    ]
    health_budget: Annotated[
        int,
        Setting(
            count(0, 10000, zero="no limit"),
            "20",
            "checks a second of this service at most; the interval grows to fit",
        ),
    ]

    close_on_unhealthy: Annotated[
        bool,
        Setting(
            values.flag,
            "false",
            "established connections to an endpoint whose checks begin to fail are reset",
        ),
    ]

    eject_after: Annotated[
        int,
        Setting(count(0, 1000, zero="off"), "3", "connect failures in a row that eject an endpoint"),
    ]
    eject_base_s: Annotated[
        Seconds,
        Setting(
            duration("100ms", "1h"), "5s", "first ejection, up to a fifth longer; doubles with each further"
        ),
    ]
    eject_max_s: Annotated[Seconds, Setting(duration("100ms", "24h"), "5m", "longest ejection")]
    eject_share: Annotated[
        Share,
        Setting(share(), "50%", "at most this share is ejected; one may always be, never all of them"),
    ]
