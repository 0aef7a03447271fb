"""Alerts, dashboard and monitor ask for what Headway exports, and tell people where to look."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import copy, which
from typing import Any

import pytest
from ruamel.yaml import YAML

from proxy.injector.metrics import RESULTS
from tests.deploy.kustomize import DEPLOY, clients, load, named, needs_kubectl, of_kind
from tests.deploy.promql import faults

MONITORING = DEPLOY / "monitoring"
ALERTS = {"sidecar": MONITORING / "alerts.yaml", "injector": DEPLOY / "injector/monitoring/alerts.yaml"}
DASHBOARD = MONITORING / "dashboard.json"
SCENES = Path(__file__).with_name("alerts.yaml")
PROMTOOL = which("promtool") or which("promtool", path=str(Path(sys.executable).parent))


def rules(whose: str) -> list[dict[str, Any]]:
    [group] = load(ALERTS[whose])["spec"]["groups"]
    return list(group["rules"])


def panels() -> list[dict[str, Any]]:
    """Those that show something: rows do not."""
    return [each for each in json.loads(DASHBOARD.read_text())["panels"] if each["type"] != "row"]


OF_THE_SIDECAR, OF_THE_INJECTOR = (
    [pytest.param(each, id=each["alert"]) for each in rules(whose)] for whose in ALERTS
)
RULES = [*OF_THE_SIDECAR, *OF_THE_INJECTOR]
PANELS = [pytest.param(each, id=each["title"]) for each in panels()]


# --- queries ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
def test_an_alert_asks_for_what_is_exported(rule: dict[str, Any]) -> None:
    """Metrics, labels and their values exist; counters are rated, gauges are not."""
    assert not faults(rule["expr"])


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_asks_for_what_is_exported(panel: dict[str, Any]) -> None:
    """The same for each query of the dashboard, and for the labels in its legend."""
    assert panel["targets"]
    for target in panel["targets"]:
        assert not faults(target["expr"])
        shown = set(re.findall(r"{{(\w+)}}", target.get("legendFormat", "")))
        grouped = re.search(r"by \(([\w, ]+)\)", target["expr"])
        assert shown <= set(re.split(r",\s*", grouped[1]) if grouped else [])


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sum(headway_endpoint{})", "nothing exports headway_endpoint"),
        ('headway_endpoints{stat="ready"}', "headway_endpoints has no label stat"),
        ('headway_endpoints{state="redy"}', "state is never redy"),
        ('rate(headway_connections_total{outcome=~"refused|full"}[5m])', "outcome is never full"),
        ("headway_retries_total", "headway_retries_total is a counter: it is no use in None"),
        ("rate(headway_queue_waiting[5m])", "headway_queue_waiting is a gauge: it is no use in rate"),
        ("rate(headway_connect_seconds[5m])", "nothing exports headway_connect_seconds"),
        ("sum by (result) (rate(headway_retries_total[5m]))", "no metric here has the label result"),
        ("headway_queue_waiting > on (node) up", "no metric here has the label node"),
        (
            "histogram_quantile(0.9, sum by (service) (rate(headway_connect_seconds_bucket[5m])))",
            "histogram_quantile needs `le` in its sum",
        ),
    ],
)
def test_a_wrong_query_is_seen(query: str, said: str) -> None:
    """This is a test of the test: each kind of mistake is found, and nothing else is."""
    assert faults(query) == [said]


def test_what_is_no_promql_is_seen() -> None:
    """A query that Prometheus would not take does not pass for one without metrics."""
    with pytest.raises(ValueError, match="unclosed left parenthesis"):
        faults("sum by (service (up)")


# --- alerts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", OF_THE_SIDECAR)
def test_an_alert_says_where_to_look(rule: dict[str, Any]) -> None:
    """A summary of one line, and a description that names the doctor and a page."""
    summary, description = rule["annotations"]["summary"], rule["annotations"]["description"]

    assert rule["labels"]["severity"] in ("critical", "warning")
    assert "\n" not in summary.strip()
    assert "headway doctor" in description
    assert "/dns" in description or "/endpoints" in description


@pytest.mark.parametrize("rule", OF_THE_INJECTOR)
def test_an_alert_of_the_injector_says_what_it_means(rule: dict[str, Any]) -> None:
    """The log tells more; the results that it counts are ones that there are."""
    results = re.findall(r'result=~?"([\w|]+)"', rule["expr"])

    assert {each for listed in results for each in listed.split("|")} <= set(RESULTS)
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert re.search("kubectl -n [^`]* logs ", rule["annotations"]["description"])


@pytest.mark.parametrize("rule", RULES)
def test_an_alert_names_only_labels_that_it_has(rule: dict[str, Any]) -> None:
    """What the text fills in is what the query groups by, or, ungrouped, a label of the pod."""
    texts = " ".join(rule["annotations"].values())
    grouped = re.search(r"by \(([\w, ]+)\)", rule["expr"])

    named_in_text = set(re.findall(r"\$labels\.(\w+)", texts))

    assert named_in_text or "absent" in rule["expr"] or not grouped
    assert named_in_text <= set(grouped[1].split(", ") if grouped else ["namespace", "pod"])


needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="needs promtool: sudo apt-get install prometheus, or `make test` on Debian"
)


@needs_promtool
@pytest.mark.slow
def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    """Prometheus itself takes the rules, plays the scenes in alerts.yaml, and fills in the summaries."""
    for whose, path in ALERTS.items():
        spec = load(path)["spec"]
        YAML(typ="safe").dump(spec, tmp_path / f"whole-{whose}.yaml")
        for rule in spec["groups"][0]["rules"]:
            del rule["annotations"]["description"]  # promtool compares all that there are
        YAML(typ="safe").dump(spec, tmp_path / f"{whose}.yaml")
    copy(SCENES, tmp_path / "scenes.yaml")

    whole = [f"whole-{whose}.yaml" for whose in ALERTS]
    for command in (["check", "rules", *whole], ["test", "rules", "scenes.yaml"]):
        done = subprocess.run([str(PROMTOOL), *command], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_in_a_scene() -> None:
    """None is written that was never seen firing."""
    scenes = load(SCENES)["tests"]
    seen = {
        check["alertname"] for scene in scenes for check in scene["alert_rule_test"] if check["exp_alerts"]
    }

    assert seen == {each["alert"] for whose in ALERTS for each in rules(whose)}


# --- scraping -----------------------------------------------------------------------------------


@needs_kubectl
def test_the_monitor_finds_the_sidecar_and_nothing_else() -> None:
    """By the port's name and the container's; and our label `endpoint` is not that of the scraped port."""
    [monitor] = of_kind("monitoring", "PodMonitor")
    [client] = clients("base")
    [port] = client.sidecar["ports"]
    [scrape] = monitor["spec"]["podMetricsEndpoints"]
    keep, job = scrape["relabelings"]

    assert monitor["spec"]["namespaceSelector"] == {"any": True}
    assert (scrape["port"], scrape["path"], scrape["honorLabels"]) == (port["name"], "/metrics", True)
    assert keep["sourceLabels"] == ["__meta_kubernetes_pod_container_name"]
    assert (keep["regex"], keep["action"]) == (client.sidecar["name"], "keep")
    assert (job["targetLabel"], job["replacement"]) == ("job", "headway")


@needs_kubectl
def test_the_injector_is_found() -> None:
    """By its label, its namespace and the port's name; whatever `up` says is its own."""
    [monitor] = of_kind("injector/monitoring", "PodMonitor")
    injector = named("injector", "Deployment", "headway-injector")
    template = injector["spec"]["template"]
    [container] = template["spec"]["containers"]
    [scrape] = monitor["spec"]["podMetricsEndpoints"]
    [job] = scrape["relabelings"]

    assert monitor["metadata"]["namespace"] == injector["metadata"]["namespace"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert scrape["port"] in [port["name"] for port in container["ports"]]
    assert (job["targetLabel"], job["replacement"]) == ("job", "headway-injector")


# --- the dashboard ------------------------------------------------------------------------------


def test_the_dashboard_can_be_imported_anywhere() -> None:
    """No data source of ours: each panel asks the one chosen above, as do the lists of what to choose."""
    dashboard = json.loads(DASHBOARD.read_text())
    variables = {each["name"]: each for each in dashboard["templating"]["list"]}
    chosen = {"type": "prometheus", "uid": "${datasource}"}

    assert "id" not in dashboard
    assert list(variables) == ["datasource", "namespace", "service"]
    assert variables["datasource"]["type"] == "datasource"
    for each in [*panels(), variables["namespace"], variables["service"]]:
        assert each["datasource"] == chosen
    for each in (variables["namespace"], variables["service"]):
        [query] = re.findall(r"label_values\((.*), \w+\)", each["query"]["query"])
        assert not faults(query)


def test_panels_do_not_overlap() -> None:
    """Every panel has a place of its own on the grid of 24 columns, and an id."""
    every = json.loads(DASHBOARD.read_text())["panels"]
    cells = [cell for each in every for cell in _cells(each["gridPos"])]

    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
    assert len({each["id"] for each in every}) == len(every)


@needs_kubectl
def test_grafana_finds_the_dashboard() -> None:
    """It comes as a ConfigMap with the label that Grafana's collector looks for."""
    found = named("monitoring", "ConfigMap", "headway-dashboard")

    assert found["metadata"]["labels"] == {"grafana_dashboard": "1"}
    assert found["data"] == {"dashboard.json": DASHBOARD.read_text()}


def _cells(place: dict[str, int]) -> Iterator[tuple[int, int]]:
    for x in range(place["x"], place["x"] + place["w"]):
        yield from ((x, y) for y in range(place["y"], place["y"] + place["h"]))
