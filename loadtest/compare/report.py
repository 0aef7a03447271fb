"""Writes the comparison down: Markdown for people, JSON for programs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from loadtest.compare.arithmetic import Summary
from loadtest.compare.campaign import Plan
from loadtest.compare.goals import Verdict
from loadtest.compare.measures import MEASURES
from loadtest.compare.results import Results
from loadtest.compare.subjects import Subject
from loadtest.compare.workloads import Workload

# What one line can say of everyone: workload, measure, head.
OVERVIEW = (
    ("kept-1", "cpu_us", "1 kept connection, CPU µs"),
    ("kept-64", "cpu_us", "64 kept, CPU µs"),
    ("kept-64", "rate", "64 kept, requests/s"),
    ("new", "cpu_us", "new connection, CPU µs"),
    ("new", "rate", "new connections/s"),
    ("download", "cpu_s_gib", "bulk, CPU s/GiB"),
    ("open", "p99_us", "p99 at 20 % load, µs"),
    ("idle", "kib_each", "KiB per idle connection"),
    ("idle", "idle_mib", "idle, MiB"),
)
NONE = "-"
HOW = """
Everyone did the same work on one machine. In each of {rounds} rounds all proxies were started anew, each a
process of its own, and then had {turns} turns of {seconds:g} s each, after {warm_up:g} s of warming up, the
others idle meanwhile; the order was another one in each turn. "idle" and "stalls" were measured once a
round, each proxy alone (beside the work that "stalls" names). A value is the median of all turns. In
brackets is its ratio to {to}: taken within each turn, the median of those, and between what half of them
lie. CPU is all that the proxy's processes took, kernel included; it varies with the machine from run to
run, so the ratios say more than the values. In closed loops the proxy, the pods and the generator share
the processors: a rate is what all three can do together. `loadtest/compare/configurations.py` has
everyone's configuration; Headway's Python runs without docstrings and asserts, as in its image.
"""


class Origin(msgspec.Struct):
    """Where the numbers are from."""

    when: str
    command: str
    commit: str
    machine: str
    network: str
    versions: dict[str, str]
    missing: dict[str, str]


@dataclass(frozen=True)
class Comparison:
    origin: Origin
    plan: Plan
    workloads: Sequence[Workload]
    subjects: Sequence[Subject]
    results: Results
    verdicts: Sequence[Verdict]
    took_s: float

    @property
    def reference(self) -> str:
        return self._titles.get(self.results.reference, self.results.reference)

    @property
    def _titles(self) -> dict[str, str]:
        return {each.name: each.title for each in self.subjects}


def markdown(of: Comparison) -> str:
    parts = [
        "# Headway beside HAProxy, nginx and Envoy",
        _how(of),
        *_overview(of),
        *(part for workload in of.workloads for part in _section(of, workload)),
        *_goals(of),
        *_list("Read this with care", of.results.warnings()),
        *_list("Left out", (f"{name}: {why}" for name, why in of.origin.missing.items())),
        _origin(of),
    ]
    return "\n\n".join(parts) + "\n"


def _how(of: Comparison) -> str:
    plan, to = of.plan, of.reference
    text = HOW.format(rounds=plan.rounds, turns=plan.turns, seconds=plan.seconds, warm_up=plan.warm_up, to=to)
    return text.replace("\n", " ").strip()


def _overview(of: Comparison) -> Iterator[str]:
    columns = [each for each in OVERVIEW if any(each[0] == workload.name for workload in of.workloads)]
    heads = [head for _, _, head in columns]
    rows = (
        [each.title, *(_median(of, workload, each.name, measure) for workload, measure, _ in columns)]
        for each in of.subjects
        if not each.only
    )
    if heads:
        yield _table(["", *heads], rows)


def _section(of: Comparison, workload: Workload) -> Iterator[str]:
    yield f"## {workload.name}: {workload.about}"
    heads = [MEASURES[measure].head for measure in workload.shows]
    rows = (
        [each.title, *(_with_ratio(of, workload.name, each.name, measure) for measure in workload.shows)]
        for each in of.subjects
        if any(of.results.value(workload.name, each.name, measure) for measure in workload.shows)
    )
    yield _table(["", *heads], rows)
    busy = [line for each in of.subjects if (line := _kept_busy(of, workload.name, each))]
    if busy:
        yield "\n".join(busy)


def _kept_busy(of: Comparison, workload: str, subject: Subject) -> str:
    """What Headway's Python had to do meanwhile."""
    names = ("answers", "pages", "longest_page_ms")
    answers, pages, longest = (of.results.notes(workload, subject.name, name) for name in names)
    if answers is None or pages is None or longest is None:
        return ""
    return (
        f"- {subject.title}: {answers.median:g} answers of DNS and {pages.median:g} pages in a run, the "
        f"longest page in {longest.median:.0f} ms."
    )


def _median(of: Comparison, workload: str, subject: str, measure: str) -> str:
    value = of.results.value(workload, subject, measure)
    return NONE if value is None else MEASURES[measure].text(value.median)


def _with_ratio(of: Comparison, workload: str, subject: str, measure: str) -> str:
    value, ratio = of.results.value(workload, subject, measure), of.results.ratio(workload, subject, measure)
    if value is None:
        return NONE
    shown = MEASURES[measure].text(value.median)
    return shown if ratio is None or subject == of.results.reference else f"{shown} ({_spread(ratio)})"


def _spread(ratio: Summary) -> str:
    return f"{ratio.median:.2f} x; {ratio.low:.2f} to {ratio.high:.2f}"


def _goals(of: Comparison) -> Iterator[str]:
    if not of.verdicts:
        return
    yield "## What the native relay is to reach"
    rows = (
        [
            each.goal.subject,
            each.goal.workload,
            MEASURES[each.goal.measure].head,
            ("≤ " if MEASURES[each.goal.measure].lower_is_better else "≥ ") + _bound(each),
            f"{each.reached:,.2f}",
            "yes" if each.held else "**no**",
        ]
        for each in of.verdicts
    )
    yield _table(["", "workload", "measure", "bound", "reached", "held"], rows)


def _bound(verdict: Verdict) -> str:
    goal = verdict.goal
    if goal.above:
        return f"{goal.bound:,g} above {goal.above}"
    if not goal.to:
        return f"{goal.bound:,g}"
    return f"{goal.bound:g} of " + (goal.to[0] if len(goal.to) == 1 else f"the best of {', '.join(goal.to)}")


def _list(head: str, lines: Iterator[str]) -> Iterator[str]:
    items = [f"- {line}" for line in lines]
    if items:
        yield f"## {head}"
        yield "\n".join(items)


def _origin(of: Comparison) -> str:
    origin = of.origin
    versions = ", ".join(f"{name} {version}" for name, version in origin.versions.items() if version)
    source = f"`{origin.command}`, {origin.when}, in {of.took_s:.0f} s, commit {origin.commit}"
    return f"{source}. {origin.machine}; {origin.network}. {versions}."


def _table(heads: Sequence[str], rows: Iterator[list[str]]) -> str:
    lines = [list(heads), ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def json(of: Comparison) -> bytes:
    return msgspec.json.encode(
        {
            "origin": of.origin,
            "plan": of.plan,
            "reference": of.results.reference,
            "summaries": _summaries(of),
            "goals": of.verdicts,
            "warnings": list(of.results.warnings()),
            "runs": of.results.runs,
        }
    )


def _summaries(of: Comparison) -> list[dict[str, object]]:
    return [
        {
            "workload": workload.name,
            "subject": each.name,
            "measure": measure,
            "value": value._asdict(),
            "ratio": None if ratio is None else ratio._asdict(),
        }
        for workload in of.workloads
        for each in of.subjects
        for measure in workload.shows
        if (value := of.results.value(workload.name, each.name, measure)) is not None
        for ratio in [of.results.ratio(workload.name, each.name, measure)]
    ]
