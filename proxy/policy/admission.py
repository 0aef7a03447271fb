"""Decides how many connections a process may hold, so that it never runs out of file descriptors."""

DESCRIPTORS_PER_CONNECTION = 2  # the client's and the pod's
CHECKS_AT_ONCE = 32
RESERVE = 160  # these, some fifty connections to the pages, listeners, DNS
RESERVE_SHARE = 0.25  # of a limit so small that the whole reserve would eat it up


def connection_cap(descriptor_limit: int) -> int:
    """Connections that fit below RLIMIT_NOFILE with the reserve left free; at least one."""
    reserve = min(RESERVE, int(descriptor_limit * RESERVE_SHARE) + 16)
    return max(1, (descriptor_limit - reserve) // DESCRIPTORS_PER_CONNECTION)
