"""What the runs came to: medians, ratios, and what to make of the measuring itself."""

from collections.abc import Iterator, Sequence

from loadtest.compare.arithmetic import Summary, Turns, ratios, summary
from loadtest.compare.measures import MEASURES
from loadtest.compare.runs import Run

FULL = 0.95  # of a core: from here on a single thread is what holds the rest back
FOREIGN = 0.1  # of a core: from here on other processes are worth a word
LATE_US = 1000.0


class Results:
    """All runs. `reference` is whom ratios are to."""

    def __init__(self, runs: Sequence[Run], reference: str) -> None:
        self.runs = runs
        self.reference = reference

    def turns(self, workload: str, subject: str, measure: str) -> Turns:
        return {
            run.turn: run.measures[measure]
            for run in self.runs
            if run.workload == workload and run.subject == subject and measure in run.measures
        }

    def value(self, workload: str, subject: str, measure: str) -> Summary | None:
        return _summary(list(self.turns(workload, subject, measure).values()))

    def ratio(self, workload: str, subject: str, measure: str, to: str = "") -> Summary | None:
        theirs = self.turns(workload, to or self.reference, measure)
        return _summary(ratios(self.turns(workload, subject, measure), theirs))

    def ratio_to_best(self, workload: str, subject: str, measure: str, of: Sequence[str]) -> Summary | None:
        """To the one that is hardest to beat. The best of each turn would be whom luck favoured in it."""
        found = [ratio for each in of if (ratio := self.ratio(workload, subject, measure, each)) is not None]
        worst = max if MEASURES[measure].lower_is_better else min
        return worst(found, default=None)

    def notes(self, workload: str, subject: str, name: str) -> Summary | None:
        chosen = (run for run in self.runs if run.workload == workload and run.subject == subject)
        return _summary([run.notes[name] for run in chosen if name in run.notes])

    def above(self, workload: str, subject: str, measure: str, other: str) -> Summary | None:
        """By how much a value is above someone else's in the same turn."""
        theirs = self.turns(workload, other, measure)
        ours = self.turns(workload, subject, measure)
        return _summary([our - theirs[number] for number, our in ours.items() if number in theirs])

    def warnings(self) -> Iterator[str]:
        """What may have come out wrong, and why."""
        yield from self._failures()
        yield from self._bottlenecks()
        disturbed = [run.other_cores for run in self.runs if run.other_cores > FOREIGN]
        if disturbed:
            yield (
                f"Other processes used {summary(disturbed).median:.2f} cores (at most {max(disturbed):.2f}) "
                f"in {len(disturbed)} of {len(self.runs)} runs: rates and latencies are worse than need be."
            )
        late = [run.notes["late_p99_us"] for run in self.runs if run.notes.get("late_p99_us", 0) > LATE_US]
        if late:
            yield (
                f"In {len(late)} runs at a fixed rate the generator itself was late by more than 1 ms with "
                f"1 % of its requests (at worst {max(late) / 1e3:.0f} ms): latencies are the machine's there."
            )

    def _failures(self) -> Iterator[str]:
        for run in self.runs:
            if run.failed:
                yield f"{run.workload}, {run.subject}, turn {run.turn + 1} failed: {run.failed}"
            if run.errors:
                yield f"{run.workload}, {run.subject}, turn {run.turn + 1}: {run.errors} errors"

    def _bottlenecks(self) -> Iterator[str]:
        """A proxy that was not the slowest part was not measured by its rate."""
        for name, share in (("generator", "generator_share"), ("backend", "backend_share")):
            full = dict.fromkeys(
                f"{run.workload} {run.subject}" for run in self.runs if getattr(run, share) > FULL
            )
            if full:
                yield f"The {name} was busy all the time, so the rate is its own: {', '.join(full)}."


def _summary(values: list[float]) -> Summary | None:
    return summary(values) if values else None
