"""Finds ports that nobody uses, so that two demos can run side by side."""

import socket
from collections.abc import Iterable
from itertools import islice
from random import Random

from proxy.bind import family_of

# Below Linux' ephemeral range (32768 up): no outgoing connection can take one between our look and its use.
FIRST, LAST = 20000, 32000


def free_ports(how_many: int, ips: Iterable[str] = ("127.0.0.1",)) -> list[int]:
    """Different ports, each of them free on all these addresses."""
    addresses = list(ips)
    candidates = Random().sample(range(FIRST, LAST), 500)
    found = (port for port in candidates if all(_is_free(ip, port) for ip in addresses))
    ports = list(islice(found, how_many))
    if len(ports) < how_many:
        raise OSError(f"no free port between {FIRST} and {LAST} on {', '.join(addresses)}")
    return ports


def _is_free(ip: str, port: int) -> bool:
    with socket.socket(family_of(ip)) as probe:
        try:
            probe.bind((ip, port))
        except OSError:
            return False
    return True
