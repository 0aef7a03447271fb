"""What the doctor may say: a finding with its fix, or a note of what was looked at."""

from enum import StrEnum
from typing import NamedTuple

import msgspec


class Code(StrEnum):
    """Every kind of finding; the names stay, so that scripts can rely on them."""

    DNS_SILENT = "dns_silent"
    DNS_SERVER_FAILING = "dns_server_failing"
    NAME_NOT_FOUND = "name_not_found"
    NOT_HEADLESS = "not_headless"
    PORT_CLOSED = "port_closed"
    NO_SRV = "no_srv"
    TRUNCATED = "truncated"
    NDOTS = "ndots"
    CACHED = "cached"
    DNS_LAG = "dns_lag"
    CHECKS_FAIL = "checks_fail"
    UNHEALTHY = "unhealthy"


class Finding(msgspec.Struct, frozen=True):
    """`service` is empty when it concerns the whole pod."""

    service: str
    code: Code
    what: str
    fix: str


class Note(NamedTuple):
    """One line about what was looked at: it is fine, or it was passed over."""

    text: str
    fine: bool = True


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + "s" * (number != 1)
