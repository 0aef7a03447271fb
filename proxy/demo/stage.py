"""Puts the demo together, plays it, and takes everything down again whatever happened."""

import asyncio
import signal
import sys

from proxy.clock import SystemClock
from proxy.demo.child import DemoError
from proxy.demo.cluster import Cluster
from proxy.demo.dns import DnsServer
from proxy.demo.load import Load
from proxy.demo.show import Json, Lines, Show
from proxy.demo.sidecar import Sidecar
from proxy.demo.story import ADDED, Journal, Story
from proxy.tasks import spawn

FEWEST_PODS, MOST_PODS = 3, 100  # one crashes, one leaves, one must remain
LONGEST_S = 3600.0
SHORTEST_S = 3.0  # below this the proxy has no time to ask DNS between two acts
FRAME_S = 0.2


def run(pods: int, seconds: float, balancer: str, as_json: bool) -> int:
    """Play it; 0 nothing lost, 1 something lost or not started, 2 used wrongly."""
    if not (FEWEST_PODS <= pods <= MOST_PODS and SHORTEST_S <= seconds <= LONGEST_S):
        allowed = f"{FEWEST_PODS} to {MOST_PODS} pods and {SHORTEST_S:g} to {LONGEST_S:g} seconds"
        print(f"headway demo: got {pods} pods, {seconds:g} seconds; it needs {allowed}", file=sys.stderr)
        return 2
    return asyncio.run(_run(Stage(pods, seconds, balancer, _show(as_json))))


def _show(as_json: bool) -> Show:
    if as_json:
        return Json()
    if not sys.stdout.isatty():
        return Lines()
    from proxy.demo.live import LiveShow

    return LiveShow()


async def _run(stage: "Stage") -> int:
    playing = asyncio.current_task()
    assert playing is not None
    asked_to_end: list[int] = []

    def end(number: int) -> None:
        if not asked_to_end:  # once is enough: a second Ctrl-C must not interrupt the cleaning up
            playing.cancel()
        asked_to_end.append(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, end, number)
    try:
        await stage.play()
    except DemoError as error:
        stage.problem = str(error)
    except asyncio.CancelledError:
        playing.uncancel()
    finally:
        asked_to_end.append(0)
        await stage.close()
    return stage.report()


class Stage:
    """All parts of the demo, in the order in which they start; they end in the reverse order."""

    def __init__(self, pods: int, seconds: float, balancer: str, show: Show) -> None:
        self._pods = pods
        self._seconds = seconds
        self._balancer = balancer
        self._show = show
        self._clock = SystemClock()
        self._dns = DnsServer()
        self._cluster = Cluster(self._dns, pods + ADDED)
        self._journal = Journal(show.event)
        self._load = Load(("127.0.0.1", 0), self._cluster.names)
        self._sidecar: Sidecar | None = None
        self.problem = ""

    async def play(self) -> None:
        sidecar = await self._open()
        self._load = Load(("127.0.0.1", sidecar.listen_port), self._cluster.names)
        self._journal.began = self._clock.now()
        story = Story(self._cluster, self._dns, sidecar, self._load, self._journal)
        load = spawn(self._load.run(), name="demo-load")
        telling = spawn(story.perform(self._seconds), name="demo-story")
        frames = spawn(self._draw(), name="demo-frames")
        watch = spawn(sidecar.ended(), name="demo-watch")
        try:
            await asyncio.wait({telling, watch}, return_when=asyncio.FIRST_COMPLETED)
            # Connections in flight come to their end first: when the proxy died, they count as lost.
            self._load.stop()
            await load
            if watch.done():
                raise watch.result()
            await telling
            self._draw_once()
        finally:
            for task in (load, telling, frames, watch):
                task.cancel()
            await asyncio.gather(load, telling, frames, watch, return_exceptions=True)

    async def close(self) -> None:
        if self._sidecar is not None:
            await self._sidecar.close()
        await self._cluster.close()
        await self._dns.close()

    def report(self) -> int:
        """The last words, and the exit status."""
        if self._load.connections or not self.problem:
            self._show.end(self._cluster, self._load, self._journal.events)
        if self.problem:
            print(f"headway demo: {self.problem}", file=sys.stderr)
        return 1 if self.problem or self._load.failed else 0

    async def _open(self) -> Sidecar:
        await self._dns.start()
        self._cluster.list_in_dns(*await self._cluster.start(self._pods, "serving"))
        # The proxy asks DNS about once a second in the usual 15, and faster in a shorter story.
        interval_s = min(1.0, self._seconds / 15)
        self._sidecar = Sidecar(self._cluster.port, self._dns.address, self._balancer, interval_s)
        await self._sidecar.start()
        return self._sidecar

    async def _draw(self) -> None:
        while True:
            self._draw_once()
            await self._clock.sleep(FRAME_S)

    def _draw_once(self) -> None:
        self._show.frame(self._cluster, self._load, self._journal.elapsed())
