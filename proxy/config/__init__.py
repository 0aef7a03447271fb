"""The settings: frozen, typed, read once. The rest of the package never sees the environment."""

from proxy.config.environment import PREFIX, Loaded, Row, from_env, load, variables
from proxy.config.settings import (
    AccessLog,
    Balancer,
    HealthCheck,
    IpFamily,
    LogFormat,
    LogLevel,
    ReadyWhen,
    ServiceSettings,
    Settings,
)
from proxy.config.targets import DnsTarget, NamedTarget, SrvTarget, StaticTarget, Target
from proxy.config.values import Listen
from proxy.config.values import listen as _listen

parse_listen = _listen.parse

__all__ = [
    "PREFIX",
    "AccessLog",
    "Balancer",
    "DnsTarget",
    "HealthCheck",
    "IpFamily",
    "Listen",
    "Loaded",
    "LogFormat",
    "LogLevel",
    "NamedTarget",
    "ReadyWhen",
    "Row",
    "ServiceSettings",
    "Settings",
    "SrvTarget",
    "StaticTarget",
    "Target",
    "from_env",
    "load",
    "parse_listen",
    "variables",
]
