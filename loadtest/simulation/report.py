"""Writes what a scenario showed: a Markdown table for people, JSON for programs."""

import platform
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from loadtest.simulation.measures import Quantiles, Result
from loadtest.simulation.scenarios.base import Results, Scenario, Show

REPOSITORY = Path(__file__).parents[2]


class Column(NamedTuple):
    head: str
    text: Callable[[Result], str]


def _three(of: Quantiles) -> str:
    return " / ".join(f"{each:,.0f}" if each >= 10 else f"{each:.1f}" for each in (of.p50, of.p99, of.p999))


COLUMNS = {
    "total": Column("p50 / p99 / p99.9, ms", lambda r: _three(r.total_ms)),
    "queued": Column("of it queueing, ms", lambda r: _three(r.queued_ms)),
    "load": Column("load, max/mean", lambda r: f"{r.load_max_to_mean:.2f}"),
    "busiest": Column("busiest second, max/mean", lambda r: f"{r.second_max_to_mean:.1f}"),
    "attempts": Column("attempts per connection", lambda r: f"{r.attempts_per_connection:.3f}"),
    "failed": Column(
        "failed / answered with an error", lambda r: f"{r.failed_share:.2%} / {r.error_share:.2%}"
    ),
    "open": Column("open per pod, mean / max", lambda r: f"{r.open_mean:.1f} / {r.open_max}"),
    "probes": Column("checks per pod and s, mean / max", lambda r: f"{r.probes_mean:.2f} / {r.probes_max}"),
    "dns": Column("DNS queries per s, mean / max", lambda r: f"{r.dns_mean:,.0f} / {r.dns_max:,}"),
}
COST = Column("cost", lambda r: f"{r.cpu_s:.0f} s of CPU, {r.cpu_s / max(r.events, 1) * 1e6:.0f} µs/event")


def columns_of(scenario: Scenario) -> list[Column]:
    return [*(COLUMNS[name] for name in scenario.columns), *map(_of_story, scenario.extra), COST]


def _of_story(name: str) -> Column:
    return Column(name.replace("_", " "), lambda r: f"{r.extra.get(name, 0):.2f}")


def table(columns: Sequence[Column], results: Iterable[Result]) -> str:
    rows = [["", *(column.head for column in columns)], ["---"] * (len(columns) + 1)]
    rows += [[each.label, *(column.text(each) for column in columns)] for each in results]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


class Origin(msgspec.Struct):
    """Where the numbers are from."""

    seed: int
    commit: str
    machine: str
    command: str


def origin(seed: int, command: str) -> Origin:
    return Origin(seed, _commit(), _machine(), command)


def _commit() -> str:
    commit = _git("rev-parse", "--short", "HEAD")
    return commit + (" with changes" if _git("status", "--porcelain", "--", "proxy", "loadtest") else "")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _machine() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = names[0] if names else platform.machine()
    return f"{len(names) or '?'} x {model}, Python {platform.python_version()}"


def markdown(name: str, scenario: Scenario, results: Results, shows: Sequence[Show], source: Origin) -> str:
    parts = [f"# {name}", scenario.about, table(columns_of(scenario), results.values())]
    if shows:
        parts.append("\n".join(f"- {_mark(show)}{show.said}" for show in shows))
    parts.append(f"`{source.command}`, seed {source.seed}, commit {source.commit}; {source.machine}.")
    return "\n\n".join(parts) + "\n"


def _mark(show: Show) -> str:
    return "" if show.held is None else ("holds: " if show.held else "DOES NOT HOLD: ")


class Report(msgspec.Struct):
    scenario: str
    about: str
    origin: Origin
    shows: list[Show]


def json(name: str, scenario: Scenario, results: Results, shows: Sequence[Show], source: Origin) -> bytes:
    """A line for each run: a change of one is a change of one line."""
    head = msgspec.json.encode(Report(name, scenario.about, source, list(shows)))
    runs = b",\n".join(map(msgspec.json.encode, results.values()))
    return head.removesuffix(b"}") + b',"runs":[\n' + runs + b"\n]}\n"
