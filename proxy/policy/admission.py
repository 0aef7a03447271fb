"""Decides how many connections a process may hold, so that it runs out of neither descriptors nor memory."""

from typing import NamedTuple

DESCRIPTORS_PER_CONNECTION = 2  # the client's and the pod's
CHECKS_AT_ONCE = 32
RESERVE = 160  # these, some fifty connections to the pages, listeners, DNS
RESERVE_SHARE = 0.25  # of a limit so small that the whole reserve would eat it up

# Measured: 43 MiB idle; the kernel's part of two sockets, which a cgroup pays for, is most of the rest.
IDLE_BYTES = 45 << 20
CONNECTION_BYTES = 8 << 10
FEWEST = 100  # in less memory than an idle process needs, few connections are not what will end it


class Cap(NamedTuple):
    """`because`: what does not allow more."""

    connections: int
    because: str


def connection_cap(descriptor_limit: int) -> int:
    """Connections that fit below RLIMIT_NOFILE with the reserve left free; at least one."""
    reserve = min(RESERVE, int(descriptor_limit * RESERVE_SHARE) + 16)
    return max(1, (descriptor_limit - reserve) // DESCRIPTORS_PER_CONNECTION)


def memory_cap(memory_limit: int) -> int:
    """Connections that fit into so much memory beside the idle process."""
    return max(FEWEST, (memory_limit - IDLE_BYTES) // CONNECTION_BYTES)


def cap(wanted: int | None, descriptor_limit: int, memory_limit: int | None) -> Cap:
    """The least of all limits; who names a number himself knows better what memory his connections need."""
    caps = [Cap(connection_cap(descriptor_limit), "descriptors")]
    if wanted is not None:
        caps.insert(0, Cap(wanted, "MAX_CONNECTIONS"))
    elif memory_limit is not None:
        caps.append(Cap(memory_cap(memory_limit), "memory"))
    return min(caps, key=lambda each: each.connections)
