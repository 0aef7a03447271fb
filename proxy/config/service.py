"""Every setting of a service, once: after those in pods.py what its connections may do."""

from typing import Annotated

from proxy.config import values
from proxy.config.pods import PodSettings
from proxy.config.setting import Seconds, Setting, Share, fields_of
from proxy.config.values import Networks, count, count_or_auto, duration, one_of, share, share_or_off
from proxy.config.words import AccessLog, ProxyProtocol, ReadyWhen


class ServiceSettings(PodSettings, frozen=True, kw_only=True):
    """One service. With SERVICES, each of these can be set as <NAME>_<SETTING>."""

    connect_timeout_s: Annotated[
        Seconds,
        Setting(duration("10ms", "5m"), "1s", "deadline of one connection attempt"),
    ]
    connect_attempts: Annotated[
        int,
        Setting(
            count(1, 100),
            "3",
            "endpoints tried for one connection; refusals do not count while another is hopeful, up to 20",
        ),
    ]
    connect_deadline_s: Annotated[
        Seconds,
        Setting(duration("100ms", "10m"), "5s", "all of it, waiting for an endpoint included"),
    ]

    spare_connections: Annotated[
        int | None,
        Setting(
            count_or_auto(0, 100, zero="none"),
            "0",
            "idle connections kept to each endpoint, dialled before anyone asks; auto: as many as came at "
            "once lately, which is within the time of a dial",
        ),
    ]
    spare_max_age_s: Annotated[
        Seconds,
        Setting(
            duration("1s", "1h"),
            "30s",
            "an older one is replaced; sooner where pods were seen to close idle connections sooner",
        ),
    ]
    max_connections_per_endpoint: Annotated[
        int,
        Setting(
            count(0, 1_000_000, zero="no cap"),
            "0",
            "connections of this sidecar to one endpoint; while all have as many, new ones queue",
        ),
    ]
    queue_size: Annotated[
        int,
        Setting(
            count(0, 1_000_000, zero="none wait"),
            "1024",
            "connections that wait for an endpoint, the first one or one with room; more are reset at once",
        ),
    ]

    retry_budget: Annotated[
        Share,
        Setting(
            share(0, 1000),
            "20%",
            "retries per new connection over 10 s, plus 10 a second; not where a pod is known to be alive",
        ),
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
    max_connection_age_s: Annotated[
        Seconds,
        Setting(
            duration("1s", "720h", zero="never"),
            "0",
            "±10 %; an older connection is closed as soon as it is at rest, never in mid-transfer",
        ),
    ]
    rebalance: Annotated[
        Share,
        Setting(
            share_or_off(1, 100),
            "off",
            "when endpoints come and lack connections, older ones of the others are closed once they are at "
            "rest: at most this share of all a minute",
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

    proxy_protocol_send: Annotated[
        ProxyProtocol,
        Setting(
            one_of(ProxyProtocol),
            "off",
            "tell pods the client's address: by this version's header before its first byte; checks send one "
            "too, but for those at HEALTH_PORT",
        ),
    ]
    proxy_protocol_accept: Annotated[
        bool,
        Setting(
            values.flag,
            "false",
            "clients send such a header, of either version, within 3 s; who does not is reset",
        ),
    ]
    proxy_protocol_from: Annotated[
        Networks | None,
        Setting(
            values.networks,
            None,
            "who may send it beside this pod itself; anybody else is reset",
            "this pod only",
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


SERVICE_FIELDS = fields_of(ServiceSettings)
