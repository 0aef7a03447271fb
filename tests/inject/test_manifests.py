"""Manifests as people and tools write them: what is added, that nothing else changes, and the way back."""

import re
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kubernetes_validate import utils

from proxy.inject.manifest import injecting, rewrite, uninjecting
from proxy.inject.order import IMAGE, Order
from proxy.inject.workloads import workloads

MANIFESTS = sorted((Path(__file__).parent / "manifests").iterdir())
# How many pods each file has that take the sidecar.
PODS = {
    "anchors": 2, "cronjob": 1, "helm": 2, "job": 1, "kubectl": 1, "kustomize": 1,
    "list": 2, "live": 1, "open_end": 1, "statefulset": 1, "windows": 1,
}  # fmt: skip
SETTINGS = {"TARGET": "orders.shop.svc.cluster.local.:8080", "ACCESS_LOG": "off"}
ORDER = Order(image=IMAGE, settings=SETTINGS)
VERSIONS = [f"1.{minor}" for minor in range(29, 38)]

each_manifest = pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
each_yaml = pytest.mark.parametrize(
    "path", [path for path in MANIFESTS if path.suffix == ".yaml"], ids=lambda path: path.name
)
each_way = pytest.mark.parametrize("classic", [False, True], ids=["native", "classic"])


def read(path: Path) -> str:
    """Its text, line ends and all."""
    return path.read_bytes().decode()


def injected(text: str, order: Order = ORDER) -> str:
    result = rewrite("app.yaml", text, injecting(order, host_network_ok=False))
    assert result.refusals == []
    return result.text


def uninjected(text: str) -> str:
    return rewrite("app.yaml", text, uninjecting).text


def objects(text: str) -> list[Any]:
    """What kubectl would read: YAML 1.1, unlike what wrote it."""
    text = re.sub(r"(?m)^%YAML.*$", "", text.removeprefix("\ufeff"))
    return [each for each in yaml.safe_load_all(text) if each]


def sidecars(text: str) -> list[dict[str, Any]]:
    pods = [each.pod for document in objects(text) for each in workloads(document)]
    lists = [(pod["spec"].get("initContainers") or []) + pod["spec"]["containers"] for pod in pods]
    return [each for containers in lists for each in containers if each["name"] == "headway"]


@each_manifest
@each_way
def test_every_workload_gets_one(path: Path, classic: bool) -> None:
    """Each pod that does not decline has the sidecar, first of its kind, with the settings."""
    text = injected(read(path), Order(image=IMAGE, settings=SETTINGS, classic=classic))
    found = sidecars(text)

    assert len(found) == PODS[path.stem]
    assert {each["env"][0]["value"] for each in found} == {SETTINGS["TARGET"]}
    assert {each["env"][1]["value"] for each in found} == {"off"}  # text, not False
    assert {each.get("restartPolicy") for each in found} == {None if classic else "Always"}
    key = "containers" if classic else "initContainers"
    pods = [each.pod for document in objects(text) for each in workloads(document)]
    assert [pod["spec"].get(key, [{}])[0].get("name") for pod in pods].count("headway") == len(found)


@each_yaml
@each_way
def test_lines_are_added_and_none_is_touched(path: Path, classic: bool) -> None:
    """Without the added lines the file is what it was: comments, quotes, spacing, line ends."""
    before = read(path).splitlines(keepends=True)
    after = injected(read(path), Order(image=IMAGE, settings=SETTINGS, classic=classic))
    rest = iter(after.splitlines(keepends=True))

    assert all(line in rest for line in before)  # `in` moves on: the same lines in the same order


@each_yaml
def test_comments_stay_above_what_they_speak_of(path: Path) -> None:
    """The line after a comment is the same as before, unless the sidecar is about to begin there."""

    def pairs(text: str) -> list[tuple[str, str]]:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return [(one, two) for one, two in pairwise(lines) if one.startswith("# ")]

    assert pairs(injected(read(path))) == pairs(read(path))


@each_manifest
@each_way
def test_a_second_run_changes_nothing(path: Path, classic: bool) -> None:
    """Not a byte."""
    order = Order(image=IMAGE, settings=SETTINGS, classic=classic)
    once = injected(read(path), order)

    assert injected(once, order) == once


@each_manifest
@each_way
def test_uninject_gives_back_the_file(path: Path, classic: bool) -> None:
    """To the byte, whatever was in it."""
    text = injected(read(path), Order(image=IMAGE, settings=SETTINGS, classic=classic))

    assert uninjected(text) == read(path)
    assert uninjected(read(path)) == read(path)


@pytest.mark.slow
@each_manifest
def test_other_settings_replace_it(path: Path) -> None:
    """Another order gives the same as if it had been the first one, wherever that started from."""
    other = Order(image="headway:2", settings={"TARGET": "users:9090"}, classic=True, memory="32Mi")

    assert injected(injected(read(path)), other) == injected(read(path), other)
    assert injected(injected(read(path), other)) == injected(read(path))


schema = cache(utils.schema_contents)  # or each validation would read the same megabyte again


@pytest.mark.slow
@each_way
def test_kubernetes_would_take_it(monkeypatch: pytest.MonkeyPatch, classic: bool) -> None:
    """Each object is right by the strict schemas of every Kubernetes from 1.29 to 1.37."""
    monkeypatch.setattr(utils, "schema_contents", schema)
    order = Order(image=IMAGE, settings=SETTINGS, classic=classic, pull_policy="IfNotPresent")
    documents = [each for path in MANIFESTS for each in objects(injected(read(path), order))]
    flat = [item for each in documents for item in ([each] if each["kind"] != "List" else _items(each))]

    assert len(flat) >= 17
    for version in VERSIONS:
        for each in flat:
            kubernetes_validate.validate(each, version, strict=True)


def _items(document: dict[str, Any]) -> list[dict[str, Any]]:
    nested = [_items(item) if item["kind"] == "List" else [item] for item in document["items"]]
    return [item for items in nested for item in items]
