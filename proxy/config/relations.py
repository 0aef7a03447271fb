"""Which settings limit one another, and which mean something only beside another one: names of fields."""

from typing import Any

from proxy.config.words import SPREADING

# What another one limits.
AT_MOST = {
    "connect_timeout_s": "connect_deadline_s",
    "eject_base_s": "eject_max_s",
    "health_timeout_s": "health_interval_s",  # as HAProxy's check timeout
    "drain_quiet_s": "drain_timeout_s",
    "spare_connections": "max_connections_per_endpoint",
}
CAPS = frozenset({"max_connections_per_endpoint"})  # counts, of which 0 is no limit
# Kubernetes kills after terminationGracePeriodSeconds, 30 s: no longer drain than the user asked for.
NEVER_RAISED = frozenset({"drain_timeout_s"})

OWN = "module:factory"
CHECKING = "tcp", "http", "grpc"
NUMBER, AUTO = "a number", "auto"

# Settings that mean something only beside one of these values of another one.
NEEDS = {
    "hash_key": ("balancer", ("maglev", OWN)),
    "hash_balance_factor": ("balancer", ("maglev",)),
    **dict.fromkeys(("health_interval_s", "health_timeout_s", "health_rise"), ("health_check", CHECKING)),
    **dict.fromkeys(("health_fall", "health_passive_first", "health_budget"), ("health_check", CHECKING)),
    **dict.fromkeys(("health_port", "close_on_unhealthy"), ("health_check", CHECKING)),
    **dict.fromkeys(("health_path", "health_status"), ("health_check", ("http",))),
    "health_host": ("health_check", ("http", "grpc")),
    "health_service": ("health_check", ("grpc",)),
    "proxy_protocol_from": ("proxy_protocol_accept", ("true",)),
    "spare_max_age_s": ("spare_connections", (NUMBER, AUTO)),
    **dict.fromkeys(("relay_threads", "relay_spin"), ("relay", ("auto", "native"))),
    "rebalance": ("balancer", SPREADING),
}


def word_of(value: Any) -> Any:
    """The choice that `value` is, as NEEDS names it; a user's own picker is one, whatever it is called."""
    if value is None or (type(value) is int and value):
        return NUMBER if value else AUTO
    return OWN if ":" in str(value) else str(value).lower()
