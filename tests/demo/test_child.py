"""The demo's processes: none outlives it, none dies without its last words being heard."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from proxy.demo import child as child_module
from proxy.demo.child import HOME, Child, DemoError

pytestmark = pytest.mark.slow

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('on', flush=True)
time.sleep(60)
"""


def test_a_stubborn_process_is_killed_after_the_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo ends even when one of its processes ignores SIGTERM."""
    monkeypatch.setattr(child_module, "GRACE_S", 0.05)

    async def test() -> int | None:
        stubborn = await Child.start("stubborn", "-c", STUBBORN)
        await stubborn.speaks()
        await stubborn.stop()
        return stubborn.ended

    assert asyncio.run(test()) == -signal.SIGKILL


def test_the_last_words_are_heard() -> None:
    """When a process fails, the message has its name, its status and what it printed."""

    async def test() -> None:
        with pytest.raises(DemoError, match=r"(?s)web-9 ended at once \(exit status 3\).*printed nothing"):
            await (await Child.start("web-9", "-c", "raise SystemExit(3)")).speaks()
        failing = await Child.start("web-9", "-c", "raise SystemExit('no such port')")
        await failing.wait()
        assert "no such port" in str(failing.failure("failed"))

    asyncio.run(test())


def test_only_the_given_environment_reaches_a_child() -> None:
    """Whatever HEADWAY_* the user has exported, the demo's proxy sees only the demo's."""

    async def test() -> None:
        code = "import os; print({k: v for k, v in os.environ.items() if k != 'LC_CTYPE'})"
        process = await Child.start("child", "-c", code, env={"HEADWAY_LISTEN": "x"})
        await process.wait()
        assert list(process.tail) == ["{'HEADWAY_LISTEN': 'x'}"]

    asyncio.run(test())


def test_a_child_is_optimised_as_the_demo_is() -> None:
    """The image has compiled files of one kind only; with others each process would compile its own."""
    code = """
import asyncio
from proxy.demo.child import Child
async def tell() -> None:
    child = await Child.start("child", "-c", "import sys; print(sys.flags.optimize)")
    await child.wait()
    print(*child.tail)
asyncio.run(tell())"""

    for flags, level in (([], "0"), (["-OO"], "2")):
        told = subprocess.check_output([sys.executable, *flags, "-c", code], text=True, cwd=HOME)
        assert told.strip() == level


def test_no_orphans_when_the_demo_is_killed() -> None:
    """Even `kill -9` of the demo leaves no process behind."""
    code = (
        "import asyncio\n"
        "from proxy.demo.child import Child\n"
        "async def main():\n"
        f"    kid = await Child.start('kid', '-c', {STUBBORN!r})\n"
        "    await kid.speaks()\n"
        "    print(kid.pid, flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=HOME, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        kid = os.pidfd_open(int(demo.stdout.readline()))
        demo.kill()

    async def gone() -> None:
        died = asyncio.Event()
        asyncio.get_running_loop().add_reader(kid, died.set)
        await asyncio.wait_for(died.wait(), 5)

    asyncio.run(gone())
    os.close(kid)
