"""What a run leaves for people to read."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from loadtest import simulate as command
from loadtest.simulation import report
from loadtest.simulation.drawing import PANELS, draw
from loadtest.simulation.fleet import simulate
from loadtest.simulation.measures import quantile
from loadtest.simulation.plan import Plan
from loadtest.simulation.scenarios import SCENARIOS
from loadtest.simulation.scenarios.base import Scenario, Show, for_each

TINY = Plan(sidecars=10, pods=4, rate=5.0, seconds=12, warm_up_s=8)
SCENARIO = Scenario("Two balancers.", for_each(("random", "p2c"), TINY), {})


def test_quantiles_are_values_that_occurred() -> None:
    values = [float(number) for number in range(1, 1001)]

    assert [quantile(values, share) for share in (0.5, 0.99, 0.999)] == [501.0, 991.0, 1000.0]


@pytest.mark.slow
def test_a_report_names_each_run_and_where_it_came_from(tmp_path: Path) -> None:
    results = {label: simulate(plan, label) for label, plan in SCENARIO.plans.items()}
    shows = [Show("it holds", True), Show("it does not", False), Show("it is told")]
    source = report.origin(1, "python -m loadtest.simulate tiny")
    text = report.markdown("tiny", SCENARIO, results, shows, source)
    numbers = json.loads(report.json("tiny", SCENARIO, results, shows, source))
    draw("tiny", SCENARIO, results, tmp_path)

    assert [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| ")] == [
        *("| ", "| ---", "| random", "| p2c")
    ]
    assert "- holds: it holds\n- DOES NOT HOLD: it does not\n- it is told\n" in text
    assert numbers["origin"]["seed"] == 1 and numbers["origin"]["commit"]
    assert [run["label"] for run in numbers["runs"]] == ["random", "p2c"]
    assert (tmp_path / "tiny.png").stat().st_size > 10_000
    assert 5_000 < (tmp_path / "tiny.svg").stat().st_size < 200_000


def test_every_scenario_names_columns_and_panels_that_there_are() -> None:
    for scenario in SCENARIOS.values():
        assert report.columns_of(scenario)
        assert PANELS.keys() >= set(scenario.panels)
        for plan in scenario.plans.values():
            replace(plan, **dict(scenario.quick))


@pytest.mark.slow
def test_the_command_runs_a_scenario(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = ["--quick", "--sidecars=10", "--pods=4", "--seconds=60", "--balancers=p2c", "--jobs=1"]
    monkeypatch.setattr(sys, "argv", ["simulate", "even", *small, f"--out={tmp_path}"])
    command.main()

    assert "| p2c |" in capsys.readouterr().out
    ends = ["json", "md", "png", "svg"]
    assert sorted(each.name for each in tmp_path.iterdir()) == [f"even.{end}" for end in ends]
