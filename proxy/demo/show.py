"""Says what the demo says where nobody watches live: lines for a pipe, one JSON object for a program."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Protocol

from proxy.demo.cluster import Cluster
from proxy.demo.load import Load
from proxy.demo.story import Event


class Show(Protocol):
    """Where the demo's output goes."""

    def event(self, event: Event) -> None: ...

    def frame(self, cluster: Cluster, load: Load, elapsed_s: float) -> None: ...

    def end(self, cluster: Cluster, load: Load, events: Sequence[Event]) -> None: ...


class Lines:
    """One line per event, then the summary."""

    def event(self, event: Event) -> None:
        print(f"{event.at_s:6.2f} s  {event.text}", flush=True)

    def frame(self, cluster: Cluster, load: Load, elapsed_s: float) -> None:
        pass  # lines do not move

    def end(self, cluster: Cluster, load: Load, events: Sequence[Event]) -> None:
        print("\n" + summary(cluster, load, events), flush=True)


class Json:
    """Nothing but one object on stdout."""

    def event(self, event: Event) -> None:
        pass

    def frame(self, cluster: Cluster, load: Load, elapsed_s: float) -> None:
        pass

    def end(self, cluster: Cluster, load: Load, events: Sequence[Event]) -> None:
        result = {
            "connections": load.connections,
            "failed": load.failed,
            "pods": {ip: load.per_pod[ip] for ip in cluster.pods},
            "events": [asdict(event) for event in events],
        }
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()


def summary(cluster: Cluster, load: Load, events: Sequence[Event]) -> str:
    """Readable in five seconds: how many, how many lost, who served."""
    pods = "  ".join(f"{pod.name} {load.per_pod[pod.ip]:,}" for pod in cluster.pods.values())
    lost = ", ".join(f"{count} {reason}" for reason, count in load.lost.most_common())
    if load.failed:
        verdict = f"LOST: {lost}. An application would have noticed."
    elif events and events[-1].event == "end":
        verdict = "A crash, a scale-down, a scale-up and a DNS outage: the application noticed nothing."
    else:
        verdict = "Stopped before the end of the story; nothing was lost so far."
    return f"{load.connections:,} connections, {load.failed:,} failed.  {verdict}\n{pods}"
