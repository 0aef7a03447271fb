"""Decides what a resolv.conf says, as resolv.conf(5) defines it. Unknown lines are passed over."""

from ipaddress import ip_address

import msgspec

from proxy.model import Address

MAX_NDOTS = 15  # as glibc caps them
MAX_TIMEOUT_S = 30
MAX_ATTEMPTS = 5
MAX_SERVERS = 3
LOCAL = (Address("127.0.0.1", 53),)  # "if no nameserver entries are present"


class ResolvConf(msgspec.Struct, frozen=True):
    """`domains` in order; a name with at least `ndots` dots is first asked as it is.

    `timeout_s` and `attempts` are None where the file does not set them.
    """

    servers: tuple[Address, ...] = LOCAL
    domains: tuple[str, ...] = ()
    ndots: int = 1
    timeout_s: float | None = None
    attempts: int | None = None
    use_vc: bool = False  # ask over TCP from the start
    rotate: bool = False  # begin with another server each time


def parse(text: str) -> ResolvConf:
    """What `text` says; the last search or domain line wins, servers beyond the third are not asked."""
    servers: list[Address] = []
    domains: tuple[str, ...] = ()
    options: dict[str, str] = {}
    for line in text.splitlines():
        match line.split():
            case ["nameserver", ip, *_]:
                servers += _server(ip)
            case ["search", first, *more]:
                domains = _domains([first, *more])
            case ["domain", name, *_]:
                domains = _domains([name])
            case ["options", *words]:
                options.update((key, value) for key, _, value in (word.partition(":") for word in words))
    ndots = _number(options, "ndots", MAX_NDOTS)
    return ResolvConf(
        tuple(dict.fromkeys(servers))[:MAX_SERVERS] or LOCAL,
        domains,
        1 if ndots is None else ndots,
        timeout_s=_number(options, "timeout", MAX_TIMEOUT_S) or None,
        attempts=_number(options, "attempts", MAX_ATTEMPTS) or None,
        use_vc="use-vc" in options,
        rotate="rotate" in options,
    )


def _domains(names: list[str]) -> tuple[str, ...]:
    return tuple(name.strip(".").lower() for name in names if name.strip("."))


def _server(ip: str) -> list[Address]:
    try:
        return [Address(str(ip_address(ip)), 53)]
    except ValueError:
        return []


def _number(options: dict[str, str], name: str, most: int) -> int | None:
    """The value of an option, None where it is not set or is no number."""
    value = options.get(name, "")
    return min(int(value), most) if value.isdecimal() and len(value) < 100 else None
