"""Applies one change to every workload in a file of Kubernetes objects, and accounts for each."""

import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

import msgspec

from proxy.inject import roundtrip
from proxy.inject.order import Order, ordered
from proxy.inject.pod import LISTS, inject, take_out, uninject
from proxy.inject.refusal import Refusal
from proxy.inject.remarks import remarks
from proxy.inject.roundtrip import START, NotYaml, Part, plain
from proxy.inject.sidecar import NAME
from proxy.inject.suitable import listed, mappings
from proxy.inject.workloads import MISPLACED, Workload, annotations, strangers, workloads

# What is done to a workload's pod. None: nothing was wanted; else remarks.
Change = Callable[[Workload], list[str] | None]

# No pods come of one, and some have a megabyte, which takes ten seconds to read.
DEFINITION = re.compile(r"^kind:[ \t]+[\"']?CustomResourceDefinition\b", re.MULTILINE)
SHARED = "what the sidecar has to go into is shared by a YAML anchor: write it out there"


class Rewritten(msgspec.Struct):
    """A file after the change. A document that was refused is in `text`, as it was, and not in `kept`."""

    text: str = ""
    kept: str = ""
    wanted: int = 0
    remarks: list[str] = msgspec.field(default_factory=list)
    refusals: list[str] = msgspec.field(default_factory=list)
    passed_over: list[str] = msgspec.field(default_factory=list)  # wanted it too, but are of other kinds


def injecting(defaults: Order, host_network_ok: bool) -> Change:
    """What `headway inject` does."""

    def change(workload: Workload) -> list[str] | None:
        order = ordered(annotations(workload.pod), defaults)
        if order is None:
            return None
        inject(workload.pod, order, host_network_ok=host_network_ok)
        return remarks(workload.pod, order)

    return change


def uninjecting(workload: Workload) -> list[str] | None:
    """What `headway uninject` does."""
    return [] if uninject(workload.pod) else None


def rewrite(name: str, text: str, change: Change) -> Rewritten:
    """The file `name`, which holds `text`, after `change` of every workload in it."""
    result = Rewritten()
    number = 0
    for part in roundtrip.parts(text):
        begin = part.line + _first(part.text)
        if DEFINITION.search(part.text):
            number += 1
            result.text += part.text
            result.kept += part.text
            continue
        try:
            document = roundtrip.load(part.text)
            number += document is not None
            new = _changed(part, document, change, f"{name}, document {number} (line {begin})", result)
        except NotYaml as error:
            number += 1
            new = None
            line = part.line + error.line if error.line else begin
            result.refusals.append(f"{name}, line {line}: this is no YAML: {error}")
        result.text += part.text if new is None else new
        result.kept += new or ""
    return result


def _first(text: str) -> int:
    """How many lines of markers, comments and nothing stand before the content."""
    for at, line in enumerate(text.splitlines()):
        if line.strip() and line[0] not in "#%" and not START.match(line):
            return at
    return 0


def _changed(part: Part, document: Any, change: Change, where: str, result: Rewritten) -> str | None:
    """The new text of one document; None if it was refused."""
    before, expected = plain(document), plain(document)
    refused = False
    for workload in workloads(expected):
        title = f"{where}, {workload.title}"
        try:
            said = change(workload)
        except Refusal as refusal:
            refused = True
            result.refusals.append("\n    ".join([f"{title}:", *refusal.reasons]))
            continue
        result.wanted += said is not None
        result.remarks += [f"{title}: {each}" for each in said or []]
        if said is None and workload.misplaced:
            result.remarks.append(f"{title}: {', '.join(workload.misplaced)} {MISPLACED}")
    result.passed_over += [f"{where}, {title}" for title in _passed_over(plain(document), change)]
    if refused:
        return None
    if expected == before:
        return part.text
    new = _written(part.text, document, change, expected)
    if new is None:
        result.refusals.append(f"{where}: {SHARED}")
    return new


def _passed_over(document: Any, change: Change) -> Iterator[str]:
    """The objects that would be changed, or refused, if their kind were known. The document is used up."""
    for each in strangers(document):
        if any(_is_wanted(Workload(each.title, pod), change) for pod in each.pods):
            yield each.title


def _is_wanted(workload: Workload, change: Change) -> bool:
    try:
        return change(workload) is not None
    except Refusal:
        return not any(NAME in _names(workload.pod, home) for home in LISTS)  # somebody wrote it in by hand


def _written(text: str, document: Any, change: Change, expected: Any) -> str | None:
    """In two steps when the sidecar changes lists: only so is it clear which comments are not its own."""
    halfway = plain(document)
    if _leave(halfway, expected):
        between = roundtrip.rewritten(text, lambda fresh: _leave(fresh, expected), halfway)
        if between is None:
            return None
        text = between
    return roundtrip.rewritten(text, lambda fresh: _apply(fresh, change), expected)


def _leave(document: Any, expected: Any) -> bool:
    """Take the sidecar out of lists where it is not expected; whether there was any."""
    left = False
    for old, new in zip(workloads(document), workloads(expected), strict=True):
        for home in LISTS:
            if _names(old.pod, home) != _names(new.pod, home) and NAME not in _names(new.pod, home):
                take_out(old.pod["spec"], home)
                left = True
    return left


def _names(pod: Mapping[str, Any], home: str) -> list[Any]:
    return [each.get("name") for each in listed(pod, home)]


def _apply(document: Any, change: Change) -> None:
    for workload in workloads(document):
        if change(workload) is not None:
            _quote(workload.pod)


def _quote(pod: MutableMapping[str, Any]) -> None:
    """Kubernetes reads YAML 1.1, where `off` and `1:30` are no text unless they are quoted."""
    for home in LISTS:
        for container in listed(pod, home):
            for variable in mappings(container.get("env")) if container.get("name") == NAME else []:
                if type(variable.get("value")) is str:
                    variable["value"] = roundtrip.quoted(variable["value"])  # type: ignore[index]
