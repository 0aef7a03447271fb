"""What a PromQL query asks for, and what of it nothing exports."""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import promql_parser as promql
from prometheus_client.parser import text_string_to_metric_families

from proxy.errors import AllFull, ConnectError, NoEndpoint, NoRoom, QueueFull
from proxy.injector.metrics import Metrics
from proxy.model import EndReason
from proxy.observe.metrics import METRICS, Declared
from proxy.policy.endpoint import State

# What Prometheus and the client library bring; the labels are the pod's.
OTHERS = {
    "up": "gauge",
    "process_open_fds": "gauge",
    "process_max_fds": "gauge",
    "process_resident_memory_bytes": "gauge",
    "process_start_time_seconds": "gauge",
    "process_cpu_seconds_total": "counter",
}
OF_THE_POD = {"namespace", "pod", "container", "instance", "job"}  # the PodMonitor adds them
OF_COUNTERS = {"rate", "irate", "increase"}
OF_GAUGES = {None, "changes", "max_over_time", "min_over_time", "avg_over_time", "delta"}
OF_A_SESSION = {NoEndpoint.reason, AllFull.reason, QueueFull.reason, NoRoom.reason}
REASONS = OF_A_SESSION | {each.reason for each in ConnectError.__subclasses__()}
VALUES = {
    "state": {each.value for each in State},
    "outcome": REASONS | {each.value for each in EndReason},
    "reason": REASONS,
    "job": {"headway", "headway-injector"},
}


def _of_the_injector() -> Iterator[tuple[str, Declared]]:
    for family in text_string_to_metric_families(Metrics().render(None).decode()):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        if name.startswith("headway_injector_"):
            yield name, Declared(family.type, tuple(labels), family.documentation)


EXPORTED = METRICS | dict(_of_the_injector())


class Asked(NamedTuple):
    """One metric in a query, and the function right around it, if it stands in `[5m]`."""

    selector: promql.VectorSelector
    function: str | None


def faults(query: str) -> list[str]:
    """What is wrong with `query`, in words. Raises ValueError where it is no PromQL."""
    tree = promql.parse(_without_variables(query))
    asked = list(_asked(tree))
    found = [fault for each in asked for fault in _of(each)]
    known = OF_THE_POD.union(*(_labels(each.selector.name or "") for each in asked))
    found += [f"no metric here has the label {label}" for label in _grouped(tree) if label not in known]
    if any(node.func.name == "histogram_quantile" for node in _nodes(tree) if isinstance(node, promql.Call)):
        found += [] if "le" in _grouped(tree) else ["histogram_quantile needs `le` in its sum"]
    return found


def _without_variables(query: str) -> str:
    """What Grafana puts in place of its variables."""
    return query.replace("$__rate_interval", "1m").replace("$namespace", ".*").replace("$service", ".*")


def _nodes(root: promql.Expr) -> list[promql.Expr]:
    found: list[promql.Expr] = []
    promql.walk(root, pre_visit=found.append)  # append returns None: go on
    return found


def _asked(root: promql.Expr) -> Iterator[Asked]:
    nodes = _nodes(root)
    calls = [node for node in nodes if isinstance(node, promql.Call)]
    around = {arg.prettify(): call.func.name for call in calls for arg in call.args}
    for before, node in pairwise([None, *nodes]):
        if isinstance(node, promql.VectorSelector):
            in_range = isinstance(before, promql.MatrixSelector)  # which the walk shows before what is in it
            yield Asked(node, around[before.prettify()] if before and in_range else None)


def _grouped(root: promql.Expr) -> list[str]:
    """Labels in by (), on () and group_left ()."""
    found: list[str] = []
    for node in _nodes(root):
        if isinstance(node, promql.AggregateExpr) and node.modifier:
            found += node.modifier.labels
        if isinstance(node, promql.BinaryExpr) and node.modifier:
            found += [*(node.modifier.matching.labels if node.modifier.matching else [])]
            found += node.modifier.group_labels or []
    return found


def _of(asked: Asked) -> Iterator[str]:
    name = asked.selector.name or ""
    kind = _kind(name)
    if kind is None:
        yield f"nothing exports {name}"
        return
    if asked.function not in (OF_COUNTERS if kind == "counter" else OF_GAUGES):
        yield f"{name} is a {kind}: it is no use in {asked.function}"
    for matcher in asked.selector.matchers.matchers:
        if matcher.name not in _labels(name) | OF_THE_POD:
            yield f"{name} has no label {matcher.name}"
        if matcher.name in VALUES and not re.fullmatch(r"\.\*", matcher.value):
            unknown = set(matcher.value.split("|")) - VALUES[matcher.name]
            yield from (f"{matcher.name} is never {value}" for value in sorted(unknown))


def _kind(name: str) -> str | None:
    """Of the series: those of a histogram are counters."""
    base = _histogram(name)
    if base:
        return "counter"
    declared = EXPORTED.get(name)
    if declared and declared.kind != "histogram":
        return declared.kind
    return OTHERS.get(name)


def _labels(name: str) -> set[str]:
    base = _histogram(name)
    declared = EXPORTED.get(base or name)
    own = set(declared.labels) if declared else set()
    return own | ({"le"} if base and name.endswith("_bucket") else set())


def _histogram(name: str) -> str | None:
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    return base if base != name and base in EXPORTED and EXPORTED[base].kind == "histogram" else None
