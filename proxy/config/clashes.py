"""Decides which listeners cannot all be open, and which targets lead back to the service's own."""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence

from proxy.config.listen import Listen
from proxy.config.targets import DnsTarget, StaticTarget, Target

LOCALHOST = frozenset({"localhost", "localhost."})


def taken_twice(wanted: Mapping[str, Sequence[Listen]]) -> Iterator[tuple[str, Listen, str, Listen]]:
    """Each setting with an address that an earlier setting has: it and the address, that one and its own."""
    taken: list[tuple[str, Listen]] = []
    for name, listens in wanted.items():
        for listen in listens:
            for other, its in taken:
                if listen.clashes(its):
                    yield name, listen, other, its
                    break
        taken += [(name, listen) for listen in listens]


def leads_back(target: Target, listens: Sequence[Listen]) -> Listen | None:
    """The first of `listens` at which connections to `target` certainly arrive."""
    return next((listen for listen in listens if _leads_to(target, listen)), None)


def _leads_to(target: Target, listen: Listen) -> bool:
    if isinstance(target, DnsTarget):
        return target.host in LOCALHOST and Listen("localhost", target.port).clashes(listen)
    return isinstance(target, StaticTarget) and any(
        (each == (listen.host, listen.port)) or (_is_this_host(each.ip) and Listen(*each).clashes(listen))
        for each in target.addresses
    )


def _is_this_host(ip: str) -> bool:
    address = ipaddress.ip_address(ip)
    return address.is_loopback or address.is_unspecified  # connect() takes "any address" for loopback
