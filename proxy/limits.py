"""What the system lets this process have: descriptors and memory."""

import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

DESCRIPTORS_MAX = 1 << 20  # some container runtimes set the hard limit to a billion
MEMORY_MAX = 1 << 50  # version 1 of cgroups has no word for "no limit", only a number near 2^63


def raise_descriptor_limit() -> int:
    """Take what the hard limit allows; the limit that holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_MAX if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_MAX)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def memory_limit(root: Path = Path("/")) -> int | None:
    """The bytes that the cgroup of this process, or one above it, may have; None without a limit."""
    limits = [limit for file in _limit_files(root) if (limit := _number_in(file)) is not None]
    return min((limit for limit in limits if limit < MEMORY_MAX), default=None)


def _limit_files(root: Path) -> Iterator[Path]:
    """cgroups(7), /proc/pid/cgroup: a line for each hierarchy, `0::/path` for that of version 2.

    A path as the host sees it does not exist in a container, whose own cgroup is then at the top.
    """
    lines: list[str] = []
    with suppress(OSError):
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            top, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            top, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        own = top / path.strip("/")
        yield from (each / name for each in (own, *own.parents) if each.is_relative_to(top))


def _number_in(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # not there, or "max"
        return None
