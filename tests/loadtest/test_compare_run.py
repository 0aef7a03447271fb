"""The whole comparison, as short as can be, with whatever is installed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import dnslib
import pytest

from loadtest.compare import stalls, subjects
from loadtest.compare.subjects import Missing
from proxy.demo.cluster import SERVICE

REPOSITORY = Path(__file__).parents[2]


def test_the_crowd_is_a_thousand_pods_of_which_some_change() -> None:
    """Each answer over TCP lists them all, a quarter of them new; over UDP it is cut off."""
    crowd = stalls.Crowd()
    query = dnslib.DNSRecord.question(f"{SERVICE}.", "A")
    first, second = (dnslib.DNSRecord.parse(crowd.script(query, "tcp") or b"") for _ in range(2))
    cut = dnslib.DNSRecord.parse(crowd.script(query, "udp") or b"")
    pods, later = ({str(each.rdata) for each in answer.rr} for answer in (first, second))

    assert first.header.id == query.header.id
    assert (len(pods), len(later - pods)) == (stalls.ENDPOINTS, stalls.CHANGED)
    assert cut.header.tc == 1 and not cut.rr
    assert crowd.script(dnslib.DNSRecord.question(f"{SERVICE}.", "AAAA"), "tcp") is None


@pytest.mark.slow
def test_a_short_comparison_runs_and_is_written_down(tmp_path: Path) -> None:
    """One workload of everyone who is here; a table, numbers and figures come of it, and no errors."""
    try:
        subjects.nginx_program()
    except Missing as why:
        pytest.skip(str(why))
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    command = [sys.executable, "-m", "loadtest.compare", "--quick", "--only", "kept-64", "--rounds", "1"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "compare.json").read_text())
    assert {run["subject"] for run in found["runs"]} >= {"direct", "headway-asyncio", "nginx"} - found[
        "origin"
    ]["missing"].keys()
    assert all(run["measures"]["rate"] > 0 and not run["errors"] for run in found["runs"])
    assert (tmp_path / "compare.md").read_text().strip() == done.stdout.strip()
    assert "| Headway, asyncio relay |" in done.stdout
    assert (tmp_path / "compare-costs.svg").exists()
