"""Decides which name server is asked first, and when the next one is asked too."""

from collections.abc import Mapping, Sequence

import msgspec

from proxy.model import Address
from proxy.policy.resolv_conf import ResolvConf

TRIES = 3
BACKOFF_S, BACKOFF_MAX_S = 5.0, 60.0  # how long a server that failed is asked last; doubles
ONE_MOMENT_S = 0.5
PATIENCE = (1 / 7, 2 / 7)  # shares of the deadline: each wait is twice the one before


class Trouble(msgspec.Struct, frozen=True):
    """A server that failed `times` in a row, the last time `at` then, with `result`; asked last `until`."""

    times: int
    at: float
    until: float
    result: str


def failed(before: Trouble | None, result: str, now: float) -> Trouble:
    """After one more failure. Those of one moment, such as of A and AAAA, are one."""
    if before is not None and now - before.at < ONE_MOMENT_S:
        return before
    times = before.times + 1 if before is not None else 1
    return Trouble(times, now, now + min(BACKOFF_S * 2.0 ** min(times - 1, 10), BACKOFF_MAX_S), result)


def ranked(servers: Sequence[Address], troubles: Mapping[Address, Trouble], now: float) -> list[Address]:
    """`servers` in the order in which to ask them: as configured, those that failed lately last."""

    def in_trouble(server: Address) -> bool:
        trouble = troubles.get(server)
        return trouble is not None and now < trouble.until

    return sorted(servers, key=in_trouble)


def tries(servers: int, conf: ResolvConf) -> int:
    """How many queries one question may cost: at least one for each server; `attempts` counts rounds."""
    return servers * conf.attempts if conf.attempts is not None else max(TRIES, servers)


def waits(deadline_s: float, count: int, conf: ResolvConf) -> list[float]:
    """Seconds to wait for a reply before each further try. The last try has what is left of the deadline.

    `timeout` of resolv.conf counts as far as every try gets its share of the deadline.
    """
    if conf.timeout_s is not None:
        return [min(conf.timeout_s, deadline_s / count)] * (count - 1)
    if count == TRIES:
        return [share * deadline_s for share in PATIENCE]
    return [deadline_s / count] * (count - 1)
