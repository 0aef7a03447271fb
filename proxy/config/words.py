"""The words that settings with a choice may be."""

from enum import StrEnum


class Balancer(StrEnum):
    P2C = "p2c"
    LEAST_CONNECTIONS = "least_connections"
    ROUND_ROBIN = "round_robin"
    RANDOM = "random"
    PEAK_EWMA = "peak_ewma"
    MAGLEV = "maglev"
    ORDERED = "ordered"


# Those with a place for each connection, as a user's own may have; with the others any endpoint would do.
PLACING = frozenset({Balancer.MAGLEV, Balancer.ORDERED})
SPREADING = tuple(word for word in Balancer if word not in PLACING)


def hashes(balancer: str) -> bool:
    """Whether it looks at a key, as HASH_KEY says; a user's own may."""
    return balancer == Balancer.MAGLEV or ":" in balancer


class HashKey(StrEnum):
    CLIENT = "client"
    POD = "pod"
    SNI = "sni"


class IpFamily(StrEnum):
    AUTO = "auto"
    IPV4 = "ipv4"
    IPV6 = "ipv6"


class HealthCheck(StrEnum):
    TCP = "tcp"
    HTTP = "http"
    GRPC = "grpc"
    OFF = "off"


class ReadyWhen(StrEnum):
    LISTENING = "listening"
    RESOLVED = "resolved"
    ENDPOINT = "endpoint"


class ProxyProtocol(StrEnum):
    OFF = "off"
    V1 = "v1"
    V2 = "v2"


class RelayKind(StrEnum):
    AUTO = "auto"
    NATIVE = "native"
    ASYNCIO = "asyncio"


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
