"""Draws what a scenario showed. The only file that needs matplotlib."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loadtest.simulation.scenarios.base import Results, Scenario

POINTS = 100  # of a line: a thousand pods look the same, and the SVG stays small
COLORS = {
    "random": "#999999",
    "round_robin": "#d55e00",
    "least_connections": "#0072b2",
    "p2c": "#009e73",
    "peak_ewma": "#cc79a7",
    "maglev": "#e69f00",
}
STYLES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (1, 4)))
STABLE: dict[Any, Any] = {
    "svg.hashsalt": "headway",
    "svg.fonttype": "none",
    "path.simplify": True,
}  # the same each time


def draw(name: str, scenario: Scenario, results: Results, directory: Path) -> None:
    if not scenario.panels:
        return
    with mpl.rc_context(STABLE):
        figure = Figure(figsize=(1.5 + 5 * len(scenario.panels), 4.2), layout="constrained")
        figure.suptitle(f"{name}: {scenario.about}", fontsize=9, wrap=True)
        for place, panel in enumerate(scenario.panels, 1):
            PANELS[panel](figure.add_subplot(1, len(scenario.panels), place), results)
        figure.savefig(directory / f"{name}.png", dpi=90)
        figure.savefig(directory / f"{name}.svg", metadata={"Date": None})


def _look_of(results: Results) -> dict[str, dict[str, Any]]:
    """A colour for each balancer; runs of the same one differ in style."""
    seen: dict[str, int] = {}
    looks: dict[str, dict[str, Any]] = {}
    for label, result in results.items():
        number = seen[result.balancer] = seen.get(result.balancer, -1) + 1
        several = len({each.balancer for each in results.values()}) < len(results) / len(STYLES)
        color = f"C{number}" if several else COLORS.get(result.balancer, "black")
        looks[label] = {"color": color, "linestyle": STYLES[number % len(STYLES)]}
    return looks


def _latency(axes: Axes, results: Results) -> None:
    """The quantiles of the time to the first byte, and the part of it that is queueing."""
    names = ("p50", "p99", "p999")
    width = 0.8 / len(results)
    for number, (label, look) in enumerate(_look_of(results).items()):
        result = results[label]
        at = [place + number * width for place in range(len(names))]
        total = [getattr(result.total_ms, name) for name in names]
        axes.bar(at, total, width, color=look["color"], label=label, alpha=0.9)
    axes.set_yscale("log")
    axes.set_xticks([place + 0.4 for place in range(len(names))], ["p50", "p99", "p99.9"])
    axes.set_ylabel("time to the first byte, ms")
    axes.legend(fontsize=7)


def _shares(axes: Axes, results: Results) -> None:
    """What share each pod got: a flat line at 1 is even."""
    for label, look in _look_of(results).items():
        ordered = sorted(results[label].shares)
        step = max(1, len(ordered) // POINTS)
        points = [*ordered[::step], ordered[-1]]
        places = [100 * number / max(len(points) - 1, 1) for number in range(len(points))]
        axes.plot(places, points, label=label, **look)
    axes.axhline(1.0, color="black", linewidth=0.5)
    axes.set_xlabel("pods, from the least to the most loaded, %")
    axes.set_ylabel("connections, fair share = 1")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=7)


def _over_time(key: str, what: str, log: bool = False) -> Callable[[Axes, Results], None]:
    def panel(axes: Axes, results: Results) -> None:
        for label, look in _look_of(results).items():
            series = results[label].series.get(key, [])
            begins = next((second for second, value in enumerate(series) if value), 0)
            axes.plot(range(begins, len(series)), series[begins:], label=label, **look)
        if log:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
        axes.set_xlabel("simulated time, s")
        axes.set_ylabel(what)
        axes.legend(fontsize=7)

    return panel


def _grid(axes: Axes, results: Results) -> None:
    """How p99 compares with round robin's, by connections of a sidecar to a pod a second."""
    lines: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for label, result in results.items():
        load, rate = label.split(" ")[1:]
        robin = results[f"round_robin {load} {rate}"]
        if result.balancer != "round_robin":
            point = float(rate.removeprefix("r=")), result.total_ms.p99 / robin.total_ms.p99
            lines.setdefault((result.balancer, load), []).append(point)
    styles = dict(zip(dict.fromkeys(load for _, load in lines), STYLES, strict=False))
    for (balancer, load), points in lines.items():
        xs, ys = zip(*points, strict=True)
        axes.plot(xs, ys, color=COLORS[balancer], linestyle=styles[load], label=f"{balancer} {load}")
    axes.axhline(1.0, color="black", linewidth=0.5)
    axes.axhline(0.5, color="black", linewidth=0.5, linestyle=":")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("connections of one sidecar to one pod a second")
    axes.set_ylabel("p99, round_robin's = 1")
    axes.legend(fontsize=7, ncols=2)


def _attempts(axes: Axes, results: Results) -> None:
    values = {label: each.attempts_per_connection for label, each in results.items()}
    axes.bar(list(values), list(values.values()), color="#0072b2")
    axes.set_ylabel("connect attempts per client connection")


PANELS: dict[str, Callable[[Axes, Results], None]] = {
    "latency": _latency,
    "shares": _shares,
    "p99_ms": _over_time("p99_ms", "p99 of the time to the first byte, ms", log=True),
    "newcomer": _over_time("newcomer", "connections of the new pod, fair share = 1"),
    "probes": _over_time("probes_max", "checks in a second, at the pod with the most"),
    "dns": _over_time("dns", "DNS queries a second, all sidecars"),
    "grid": _grid,
    "attempts": _attempts,
}
