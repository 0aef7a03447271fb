"""Draws the comparison. The only file of it that needs matplotlib."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loadtest.compare.measures import MEASURES, QUANTILES
from loadtest.compare.report import Comparison
from loadtest.compare.subjects import Subject

COLORS = {
    "direct": "#999999",
    "headway-asyncio": "#56b4e9",
    "headway-native": "#0072b2",
    "headway-spin": "#004166",
    "haproxy": "#d55e00",
    "nginx": "#009e73",
    "envoy": "#cc79a7",
}
COSTS = (
    ("kept-1", "cpu_us"),
    ("kept-64", "cpu_us"),
    ("kept-512", "cpu_us"),
    ("new", "cpu_us"),
    ("download", "cpu_s_gib"),
    ("upload", "cpu_s_gib"),
    ("idle", "kib_each"),
    ("idle", "idle_mib"),
)
LATENCIES = ("open", "new", "mixed", "stalls")
STABLE: dict[Any, Any] = {"svg.hashsalt": "headway", "svg.fonttype": "none"}  # the same each time
PER_ROW = 4


def draw(of: Comparison, directory: Path) -> None:
    measured = {each.name for each in of.workloads}
    costs = [each for each in COSTS if each[0] in measured]
    latencies = [each for each in LATENCIES if each in measured]
    with mpl.rc_context(STABLE):
        if costs:
            _draw_costs(of, costs, directory)
        if latencies:
            _draw_latencies(of, latencies, directory)


def _draw_costs(of: Comparison, costs: list[tuple[str, str]], directory: Path) -> None:
    rows = -(-len(costs) // PER_ROW)
    figure = Figure(figsize=(3.4 * min(len(costs), PER_ROW), 2.6 * rows), layout="constrained")
    figure.suptitle(
        "What each costs: medians, lines over the middle half of all turns; less is better", fontsize=9
    )
    for place, (workload, measure) in enumerate(costs, 1):
        _bars(figure.add_subplot(rows, min(len(costs), PER_ROW), place), of, workload, measure)
    _save(figure, directory / "compare-costs")


def _bars(axes: Axes, of: Comparison, workload: str, measure: str) -> None:
    for number, subject in enumerate(reversed(_shown(of, workload, measure))):
        value = of.results.value(workload, subject.name, measure)
        assert value is not None
        spread = [[value.median - value.low], [value.high - value.median]]
        axes.barh(number, value.median, color=COLORS[subject.name], label=subject.title)
        axes.errorbar(value.median, number, xerr=spread, color="black", linewidth=0.8)
        axes.text(value.median, number, f" {MEASURES[measure].text(value.median)}", va="bottom", fontsize=6)
    names = [subject.name for subject in reversed(_shown(of, workload, measure))]
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.tick_params(axis="x", labelsize=7)
    axes.margins(x=0.15)
    axes.set_title(f"{workload}: {MEASURES[measure].head}", fontsize=8)


def _shown(of: Comparison, workload: str, measure: str) -> list[Subject]:
    return [each for each in of.subjects if of.results.value(workload, each.name, measure) is not None]


def _draw_latencies(of: Comparison, latencies: list[str], directory: Path) -> None:
    figure = Figure(figsize=(4.2 * len(latencies), 3.8), layout="constrained")
    figure.suptitle("How long replies take: medians of all turns; less is better", fontsize=9)
    for place, workload in enumerate(latencies, 1):
        _curves(figure.add_subplot(1, len(latencies), place), of, workload)
    _save(figure, directory / "compare-latency")


def _curves(axes: Axes, of: Comparison, workload: str) -> None:
    names = [*QUANTILES, "max_us"]
    for subject in _shown(of, workload, "p50_us"):
        found = [of.results.value(workload, subject.name, name) for name in names]
        axes.plot(
            range(len(names)),
            [each.median / 1000 for each in found if each is not None],
            marker="o",
            markersize=3,
            linestyle="--" if subject.name == "direct" else "-",
            color=COLORS[subject.name],
            label=subject.title,
        )
    axes.set_yscale("log")
    axes.set_xticks(
        range(len(names)), [*(f"p{share * 100:g}" for share in QUANTILES.values()), "max"], fontsize=7
    )
    axes.tick_params(axis="y", labelsize=7)
    axes.grid(axis="y", linewidth=0.3)
    axes.set_title(f"{workload}, ms", fontsize=8)
    axes.legend(fontsize=6)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path.with_suffix(".png"), dpi=110)
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
