"""Gives this process a network of its own, whose timers and ports suit a load test."""

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterable
from pathlib import Path

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000  # sched.h
SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40  # net/if.h
SYSCTLS = {
    # Each closed connection lingers for 60 s. Ports, and the time to look for one, run out long before.
    "ipv4/tcp_max_tw_buckets": "4096",
    "ipv4/tcp_tw_reuse": "1",
    "ipv4/ip_local_port_range": "33000 65535",
    "core/somaxconn": "4096",
    # Not there unless the kernel tracks connections.
    "netfilter/nf_conntrack_tcp_timeout_time_wait": "1",
    "netfilter/nf_conntrack_tcp_timeout_close_wait": "1",
}


def isolate() -> str:
    """Before the first thread and socket. Says what came of it."""
    if not (_unshare(CLONE_NEWNET) or _unshare_as_user()):
        return "the machine's own network: a namespace is not allowed here, so TIME_WAIT may slow things down"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP | IFF_RUNNING))
    refused = list(_refused(SYSCTLS.items()))
    return "a network namespace of its own" + (f", without {', '.join(refused)}" if refused else "")


def _unshare(flags: int) -> bool:
    return bool(ctypes.CDLL(None).unshare(flags) == 0)


def _unshare_as_user() -> bool:
    """Whoever may not have a network may still be allowed to be its own master."""
    user, group = os.geteuid(), os.getegid()
    if not _unshare(CLONE_NEWUSER | CLONE_NEWNET):
        return False
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    return True


def _refused(settings: Iterable[tuple[str, str]]) -> Iterable[str]:
    for name, value in settings:
        path = Path("/proc/sys/net") / name
        try:
            if path.exists():
                path.write_text(value)
        except OSError:
            yield name
