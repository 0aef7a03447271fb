"""Simulates fleets of sidecars with Headway's own policy code, and reports what each balancer makes of them.

`python -m loadtest.simulate [scenario ...]` runs the named scenarios, or all; `--list` tells them. A full run
writes tables, figures and numbers to loadtest/results/; `--quick` runs small fleets and only prints.

What is real: the pool with its pickers, ejections, health, slow start, subsets and retry budget, the times of
checks and polls. What is simulated: the network (every connect takes 0.5 ms), pods that serve a number of
connections at a time, first in first out, one name server with its cache, and the application's connections.

With SUBSET_SIZE each pool is given only the first endpoints of its own order, twice as many as it uses: ten
thousand sidecars with all thousand endpoints each would hold ten million of them. The order is that of
policy/subset.py, so the pool chooses what it would have chosen of all, as long as half of those do not fail.
"""

import argparse
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from loadtest.simulation import report
from loadtest.simulation.measures import Result
from loadtest.simulation.plan import Plan
from loadtest.simulation.scenarios import SCENARIOS
from loadtest.simulation.scenarios.base import Scenario

RESULTS = Path(__file__).parent / "results"
OF_PLAN = ("sidecars", "pods", "rate", "utilisation", "slots", "seconds", "service", "burst", "seed")


def main() -> None:
    options = _parser().parse_args()
    if options.list:
        for name, scenario in SCENARIOS.items():
            print(f"{name:24} {scenario.about}")
        return
    out: Path | None = options.out or (None if options.quick else RESULTS)
    command = "python -m loadtest.simulate " + " ".join(sys.argv[1:])
    with ProcessPoolExecutor(
        options.jobs, mp_context=multiprocessing.get_context("forkserver"), max_tasks_per_child=1
    ) as workers:
        for name in options.scenario or SCENARIOS:
            scenario = SCENARIOS[name]
            plans = dict(_plans(scenario, options))
            running = {label: workers.submit(scenario.run, plan, label) for label, plan in plans.items()}
            results = {label: each.result() for label, each in running.items()}
            _tell(name, scenario, results, report.origin(options.seed, command.strip()), out)


def _plans(scenario: Scenario, options: argparse.Namespace) -> Iterator[tuple[str, Plan]]:
    """Those of the scenario, with what the options say instead."""
    given: dict[str, Any] = dict(scenario.quick) if options.quick else {}
    given |= {name: value for name in OF_PLAN if (value := getattr(options, name)) is not None}
    wanted = options.balancers.split(",") if options.balancers else None
    for label, plan in scenario.plans.items():
        if wanted is None or plan.balancer in wanted:
            yield label, replace(plan, **given)


def _tell(
    name: str, scenario: Scenario, results: dict[str, Result], source: report.Origin, out: Path | None
) -> None:
    try:
        shows = list(scenario.shows(results))
    except KeyError:  # not all balancers were run
        shows = []
    text = report.markdown(name, scenario, results, shows, source)
    print(text, flush=True)
    if out is None:
        return
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.md").write_text(text)
    (out / f"{name}.json").write_bytes(report.json(name, scenario, results, shows, source))
    try:
        from loadtest.simulation.drawing import draw
    except ModuleNotFoundError as missing:
        print(f"not drawn: {missing}; pip install --group loadtest", file=sys.stderr)
    else:
        draw(name, scenario, results, out)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenario", nargs="*", choices=[[], *SCENARIOS], metavar="scenario")
    parser.add_argument("--list", action="store_true", help="tell the scenarios")
    parser.add_argument("--quick", action="store_true", help="small fleets; prints, writes nothing")
    parser.add_argument("--out", type=Path, help="where to write (default: loadtest/results, unless --quick)")
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count(), help="runs at a time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--balancers", help="only these, with commas")
    for name in ("sidecars", "pods", "slots", "seconds"):
        parser.add_argument(f"--{name}", type=int)
    for name in ("rate", "utilisation", "burst"):
        parser.add_argument(f"--{name}", type=float)
    parser.add_argument("--service", choices=("exponential", "lognormal", "constant"))
    return parser


if __name__ == "__main__":
    main()
