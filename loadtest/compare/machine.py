"""What the machine and its processes have used so far, as the kernel counts it."""

import contextlib
import os
import platform
import re
import resource
import time
from collections.abc import Iterable
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
CPUCLOCK_SCHED = 2  # of the kernel's MAKE_PROCESS_CPUCLOCK: what clock_getcpuclockid(3) makes


def cpu_s(pid: int) -> float:
    """Of a process with all its threads, to the nanosecond; /proc/PID/stat tells hundredths of a second."""
    return time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED)


def family(pid: int) -> list[int]:
    """A process and its children: nginx's master with its workers."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            found += map(int, (task / "children").read_text().split())
    return found


def resident_kib(pids: Iterable[int]) -> float:
    return float(sum(_status(pid, "VmRSS") for pid in pids))


def _status(pid: int, field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0


def busy_s() -> float:
    """Of all processors together: all but idle and iowait, and guests are counted as users already."""
    user, nice, system, _, _, irq, softirq, steal = _first_line_of_stat()
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_S


def _first_line_of_stat() -> list[int]:
    return [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]


class Others:
    """How much of the machine is taken by processes that have nothing to do with this run."""

    def __init__(self, ours: Iterable[int]) -> None:
        self._ours = list(ours)
        self._began = time.perf_counter(), busy_s(), self._used_s()

    def cores(self) -> float:
        at, busy, used = self._began
        return max(0.0, (busy_s() - busy - self._used_s() + used) / (time.perf_counter() - at))

    def _used_s(self) -> float:
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)  # the generator, by the time it is asked for
        return sum(map(cpu_s, [os.getpid(), *self._ours])) + ended.ru_utime + ended.ru_stime


def descriptors() -> int:
    """As many as this process and its children may have, from now on."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def describe() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} x {names[0] if names else platform.machine()}, {memory:.0f} GiB, "
        f"Linux {platform.release()}, Python {platform.python_version()}"
    )
