"""Compares Headway with HAProxy, nginx, Envoy and a direct connection, on the same work in one run.

`python -m loadtest.compare` takes about twenty minutes, and writes tables, figures and numbers to
loadtest/results/. `--quick` takes less than three, and only prints, unless it is given `--out`. What is not
installed is left out.
"""

import argparse
import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from loadtest.compare import goals, machine, namespace, report, subjects
from loadtest.compare.campaign import NAMES, Campaign, Plan, reference_of
from loadtest.compare.generator import GeneratorError
from loadtest.compare.processes import ProgramError
from loadtest.compare.report import Comparison, Origin
from loadtest.compare.results import Results
from loadtest.compare.subjects import Missing, Subject

REPOSITORY = Path(__file__).parents[2]
RESULTS = REPOSITORY / "loadtest" / "results"
FULL = Plan(rounds=4, turns=6, seconds=0.5, warm_up=0.2, idle=9000)
QUICK = Plan(rounds=1, turns=2, seconds=0.45, warm_up=0.15, idle=2000)


def main() -> None:
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what is open is closed
    network = namespace.isolate()
    here, missing = subjects.find()
    wanted = [each for each in here if not options.subjects or each.name in options.subjects]
    try:
        comparison = _compare(_plan(options), wanted, _origin(network, here, missing))
    except (GeneratorError, ProgramError, Missing) as error:
        raise SystemExit(str(error)) from None
    print(report.markdown(comparison))
    out: Path | None = options.out or (None if options.quick else RESULTS)
    if out is not None:
        _write(comparison, out)


def _compare(plan: Plan, wanted: Sequence[Subject], origin: Origin) -> Comparison:
    for name, why in origin.missing.items():
        print(f"without {name}: {why}", file=sys.stderr)
    if not wanted:
        raise Missing("nobody is left to be compared")
    campaign = Campaign(plan, subjects.nginx_program(), wanted)
    began = time.monotonic()
    results = Results(asyncio.run(campaign.run()), reference_of(wanted).name)
    took_s = time.monotonic() - began
    return Comparison(
        origin, plan, campaign.workloads, wanted, results, list(goals.verdicts(results)), took_s
    )


def _plan(options: argparse.Namespace) -> Plan:
    base = QUICK if options.quick else FULL
    return Plan(
        rounds=options.rounds or base.rounds,
        turns=options.turns or base.turns,
        seconds=options.seconds or base.seconds,
        warm_up=base.warm_up,
        idle=options.idle or base.idle,
        seed=options.seed,
        rate=options.rate,
        only=tuple(options.only),
    )


def _origin(network: str, here: Sequence[Subject], missing: dict[str, str]) -> Origin:
    return Origin(
        when=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        command=" ".join(["python -m loadtest.compare", *sys.argv[1:]]),
        commit=_commit(),
        machine=machine.describe(),
        network=network,
        versions={each.name: each.version for each in here if each.version},
        missing=missing,
    )


def _commit() -> str:
    commit = _git("rev-parse", "--short", "HEAD") or "unknown"
    return commit + (" with changes" if _git("status", "--porcelain", "--", "proxy", "loadtest") else "")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _write(comparison: Comparison, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "compare.md").write_text(report.markdown(comparison))
    (out / "compare.json").write_bytes(report.json(comparison))
    try:
        from loadtest.compare.drawing import draw
    except ModuleNotFoundError as missing:
        print(f"not drawn: {missing}; pip install --group loadtest", file=sys.stderr)
    else:
        draw(comparison, out)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="short runs; prints, writes nothing")
    parser.add_argument(
        "--only", nargs="+", default=[], choices=NAMES, metavar="WORKLOAD", help=", ".join(NAMES)
    )
    names = list(subjects.SUBJECTS)
    parser.add_argument(
        "--subjects", nargs="+", default=[], choices=names, metavar="NAME", help=", ".join(names)
    )
    parser.add_argument(
        "--rounds", type=int, help=f"everyone starts anew; default: {FULL.rounds}, quick {QUICK.rounds}"
    )
    parser.add_argument("--turns", type=int, help=f"of a round; default: {FULL.turns}, quick {QUICK.turns}")
    parser.add_argument(
        "--seconds", type=float, help=f"of a turn; default: {FULL.seconds:g}, quick {QUICK.seconds:g}"
    )
    parser.add_argument(
        "--idle", type=int, help=f"idle connections at most; default: {FULL.idle}, quick {QUICK.idle}"
    )
    parser.add_argument("--rate", type=float, default=0.0, help="of the open loop; default: found out")
    parser.add_argument("--seed", type=int, default=1, help="of schedules and of the order")
    parser.add_argument("--out", type=Path, help="where to write (default: loadtest/results, unless --quick)")
    return parser


if __name__ == "__main__":
    main()
