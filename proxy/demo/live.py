"""Draws the demo on a terminal while it happens."""

from collections import deque
from collections.abc import Sequence

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from proxy.demo.cluster import Cluster, State
from proxy.demo.load import Load
from proxy.demo.show import summary
from proxy.demo.story import Event

BAR_CELLS = 30
FULL_BAR_SHARE = 0.5  # six pods share by sixths: a bar of the whole would look empty
COLOURS: dict[State, str] = {
    "new": "cyan",
    "serving": "green",
    "crashed": "red",
    "leaving": "yellow",
    "left": "bright_black",
}


class LiveShow:
    """Bars that move, the last events, the count of the lost."""

    def __init__(self) -> None:
        # No refresh thread: the demo draws when it wants to, and forks without threads around.
        self._live = Live(auto_refresh=False)
        self._events: deque[Event] = deque(maxlen=12)

    def event(self, event: Event) -> None:
        self._events.append(event)

    def frame(self, cluster: Cluster, load: Load, elapsed_s: float) -> None:
        story = (Text(f"{event.at_s:6.2f} s  {event.text}") for event in self._events)
        head = _headline(load, elapsed_s)
        if not self._live.is_started:
            self._live.start()
        self._live.update(Group(head, _bars(cluster, load), Text(""), *story), refresh=True)

    def end(self, cluster: Cluster, load: Load, events: Sequence[Event]) -> None:
        self._live.stop()
        self._live.console.print()
        colour = "bold red" if load.failed else "bold green"
        self._live.console.print(Text(summary(cluster, load, events), style=colour))


def _headline(load: Load, elapsed_s: float) -> Text:
    head = Text(f"headway demo  {elapsed_s:5.1f} s   {load.connections:,} connections   ")
    return head.append(f"{load.failed:,} failed", style="bold red" if load.failed else "bold green")


def _bars(cluster: Cluster, load: Load) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("pod", "address", "state", "in DNS", "share of the last second"):
        table.add_column(column, style=None, min_width=BAR_CELLS + 5 if column.startswith("share") else None)
    table.add_column("answers", justify="right")
    shares = load.shares()
    for pod in cluster.pods.values():
        share = shares.get(pod.ip, 0.0)
        cells = round(min(share / FULL_BAR_SHARE, 1.0) * BAR_CELLS)
        table.add_row(
            pod.name,
            pod.ip,
            Text(pod.state, style=COLOURS[pod.state]),
            "yes" if pod.listed else "no",
            Text("█" * cells + f" {share:.0%}", style=COLOURS[pod.state]),
            f"{load.per_pod[pod.ip]:,}",
        )
    return table
