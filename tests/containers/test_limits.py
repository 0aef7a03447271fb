"""What the sidecar may not do, and how little it is given."""

import re

import pytest

from tests.containers.scene import Application, Scene, execute, status

pytestmark = [pytest.mark.docker, pytest.mark.slow]
STATUS = "print(open('/proc/1/status').read())"


@pytest.mark.parametrize("user", ["", "123456:0", "1000770000:1000770000"])
def test_it_runs_under_the_restricted_standard(shared: Scene, user: str) -> None:
    """No capability, none to be had, a read-only root, whatever uid the cluster gives it."""
    app = Application(shared, TARGET="orders:8080")
    sidecar = app.inject(user=user)
    app.becomes_ready()
    facts = dict(re.findall(r"(\w+):\s+(\w+)", execute(sidecar, "python", "-c", STATUS)))

    assert facts["Uid"] == (user.partition(":")[0] or "65532")
    assert int(facts["CapEff"], 16) == int(facts["CapBnd"], 16) == 0
    assert facts["NoNewPrivs"] == "1"
    if any("seccomp" in option for option in shared.client.info()["SecurityOptions"]):
        assert facts["Seccomp"] == "2"
    for folder in ("/", "/headway", "/tmp"):
        assert "Read-only" in execute(sidecar, "python", "-c", f"open('{folder}/new', 'w')", fails=True)
    assert not app.asks(30).failed


def test_64_mib_are_enough_under_load(shared: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """4,000 connections, 200 at a time, and commands beside them: the kernel kills nothing."""
    app = Application(shared, TARGET="orders:8080")
    app.inject()
    app.becomes_ready()
    before = status(app.sidecar)
    tally = app.asks(4000, at_once=200)
    app.headway("endpoints")

    assert not tally.failed
    assert set(tally.pods) == set(shared.pods)
    after = status(app.sidecar)
    assert (after["Pid"], after["OOMKilled"]) == (before["Pid"], False)

    peak_kb = re.search(r"VmHWM:\s+(\d+)", execute(app.sidecar, "python", "-c", STATUS))
    stats = app.sidecar.stats(stream=False, one_shot=True)
    assert isinstance(stats, dict)
    memory = stats["memory_stats"]
    used, most = memory["usage"], memory.get("max_usage", 0)  # cgroup 2 does not tell the latter
    assert peak_kb is not None
    with capsys.disabled():
        print(
            f"\nmemory, in MiB: resident at most {int(peak_kb[1]) >> 10}, the container's {used >> 20}, ",
            end="",
        )
        print(f"at most {most >> 20}")
