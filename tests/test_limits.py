"""What a cgroup allows, in both versions of cgroups, seen from a container and from a host."""

from pathlib import Path

import pytest

from proxy.limits import memory_limit

NO_LIMIT_V1 = "9223372036854771712\n"


def tree(root: Path, cgroup: str, files: dict[str, str]) -> Path:
    """A root with a process in `cgroup`, and these files below /sys/fs/cgroup."""
    texts = {"proc/self/cgroup": cgroup} | {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    "cgroup,files,limit",
    [
        ("0::/\n", {"memory.max": "67108864\n"}, 67108864),
        ("0::/\n", {"memory.max": "max\n"}, None),
        ("0::/\n", {}, None),
        ("0::/a/b\n", {"memory.max": "300\n", "a/memory.max": "200\n", "a/b/memory.max": "max\n"}, 200),
        ("0::/a/b\n", {"a/memory.max": "200\n", "a/b/memory.max": "100\n"}, 100),
        ("0::/a/b\n", {"memory.max": "300\n"}, 300),
        ("4:memory:/pod\n0::/\n", {"memory/pod/memory.limit_in_bytes": "500\n"}, 500),
        ("4:cpu,memory:/gone\n", {"memory/memory.limit_in_bytes": "600\n"}, 600),
        ("4:memory:/\n", {"memory/memory.limit_in_bytes": NO_LIMIT_V1}, None),
        ("1:cpu:/\n", {"memory/memory.limit_in_bytes": "700\n"}, None),
        ("", {"memory.max": "800\n"}, None),
    ],
)
def test_memory_limit(tmp_path: Path, cgroup: str, files: dict[str, str], limit: int | None) -> None:
    """The least of the limits from the process's own cgroup up to the top of what it can see."""
    assert memory_limit(tree(tmp_path, cgroup, files)) == limit


def test_no_cgroups(tmp_path: Path) -> None:
    """Where the system tells nothing, there is no limit."""
    assert memory_limit(tmp_path) is None
