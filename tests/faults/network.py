"""A network of one's own for a story, where packets can be dropped: what a node that dies looks like."""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

CLONE_NEWNET = 0x40000000  # linux/sched.h
POD_IP = "10.77.0.2"  # loopback addresses are spared TCP_USER_TIMEOUT: these are not

needs_network = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("iptables") or not shutil.which("ip"),
    reason="wants to be root, ip and iptables",
)


@contextmanager
def own_network() -> Iterator[None]:
    """What this thread opens and starts meanwhile is in it: loopback, and POD_IP on it."""
    libc = ctypes.CDLL(None, use_errno=True)
    outside = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(CLONE_NEWNET):
            pytest.skip(f"no network of its own: {os.strerror(ctypes.get_errno())}")
        try:
            _run("ip", "link", "set", "lo", "up")
            _run("ip", "addr", "add", f"{POD_IP}/32", "dev", "lo")
            yield
        finally:
            libc.setns(outside, CLONE_NEWNET)
    finally:
        os.close(outside)


def drop(*match: str) -> None:
    """From now on packets that match go nowhere, and nobody is told."""
    _run("iptables", "-w", "-A", "INPUT", *match, "-j", "DROP")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
