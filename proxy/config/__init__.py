"""The settings: frozen, typed, read once. The rest of the package never sees the environment."""

from proxy.config.environment import PREFIX, Loaded, Row, from_env, handed_over, load, variables
from proxy.config.listen import Listen
from proxy.config.listen import listen as _listen
from proxy.config.service import ServiceSettings
from proxy.config.settings import Settings
from proxy.config.targets import DnsTarget, NamedTarget, SrvTarget, StaticTarget, Target
from proxy.config.words import (
    SPREADING,
    AccessLog,
    Balancer,
    HashKey,
    HealthCheck,
    IpFamily,
    LogFormat,
    LogLevel,
    ProxyProtocol,
    ReadyWhen,
    RelayKind,
    hashes,
)

parse_listen = _listen.parse

__all__ = [
    "PREFIX",
    "SPREADING",
    "AccessLog",
    "Balancer",
    "DnsTarget",
    "HashKey",
    "HealthCheck",
    "IpFamily",
    "Listen",
    "Loaded",
    "LogFormat",
    "LogLevel",
    "NamedTarget",
    "ProxyProtocol",
    "ReadyWhen",
    "RelayKind",
    "Row",
    "ServiceSettings",
    "Settings",
    "SrvTarget",
    "StaticTarget",
    "Target",
    "from_env",
    "handed_over",
    "hashes",
    "load",
    "parse_listen",
    "variables",
]
