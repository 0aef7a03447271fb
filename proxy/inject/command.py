"""Runs `headway inject` and `headway uninject`: files in, one stream or a diff out, an exit status."""

import difflib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from proxy.inject.manifest import Change, Rewritten, injecting, rewrite, uninjecting
from proxy.inject.order import DOMAIN, Order, setting_name
from proxy.inject.roundtrip import LINE, START

DONE, FAILED, WRONG_USE = 0, 1, 2
STDIN = "-"
NOBODY = f"no pod asks for a sidecar by an annotation such as {DOMAIN}target, and there is no --target"
NONE_HERE = f"there is no pod, or each declines by {DOMAIN}inject"
UNINJECTED = "no pod has a sidecar that `headway inject` put in"
BY_OTHERS = (
    "stays as it is, its kind is not changed here: where pods come of it, let `headway injector` add the"
    " sidecar to them, or write it in by hand, as the README shows"
)
BY_HAND = "stays as it is, its kind is not changed here: take the sidecar out by hand"


def inject(
    files: Sequence[str],
    *,
    target: str | None,
    settings: Sequence[tuple[str, str]],
    container: Mapping[str, Any],
    host_network_ok: bool,
    diff: bool,
) -> int:
    """The exit status of `headway inject`."""
    chosen = {"TARGET": target} if target is not None else {}
    for name, value in settings:
        if chosen.setdefault(setting_name(name), value) != value:
            return _end(f"{setting_name(name)} is given twice", WRONG_USE)
    order = Order(settings=chosen, **container)
    nothing = NONE_HERE if {"TARGET", "SERVICES"} & chosen.keys() else NOBODY
    return _run(files, injecting(order, host_network_ok), diff, nothing=nothing, unknown=BY_OTHERS)


def uninject(files: Sequence[str], *, diff: bool) -> int:
    """The exit status of `headway uninject`."""
    return _run(files, uninjecting, diff, nothing=UNINJECTED, unknown=BY_HAND)


def _run(files: Sequence[str], change: Change, diff: bool, *, nothing: str, unknown: str) -> int:
    sources = {}
    for name in files:
        try:
            sources[name] = _read(name)
        except OSError as error:
            return _end(f"cannot read {_called(name)}: {error.strerror}", FAILED)
        except UnicodeDecodeError as error:
            return _end(f"{_called(name)} is not UTF-8: {error}", WRONG_USE)
    results = {name: rewrite(_called(name), text, change) for name, text in sources.items()}
    if diff:
        shown = "".join(_diff(_called(name), sources[name], result.text) for name, result in results.items())
    else:
        shown = _joined([result.kept for result in results.values()])
    sys.stdout.buffer.write(shown.encode())
    sys.stdout.buffer.flush()
    return _account_for(list(results.values()), nothing, unknown)


def _account_for(results: list[Rewritten], nothing: str, unknown: str) -> int:
    refusals = [each for result in results for each in result.refusals]
    notes = [each for result in results for each in result.remarks]
    notes += [f"{each}: {unknown}" for result in results for each in result.passed_over]
    if not refusals and not any(result.wanted or result.passed_over for result in results):
        notes.append(nothing)
    for note in notes:
        print(f"headway: note: {note}", file=sys.stderr)
    if not refusals:
        return DONE
    return _end(
        "\n".join(["left out, because it would not work:", *(f"  {each}" for each in refusals)]), WRONG_USE
    )


def _end(message: str, status: int) -> int:
    print(f"headway: {message}", file=sys.stderr)
    return status


def _called(name: str) -> str:
    return "standard input" if name == STDIN else name


def _read(name: str) -> str:
    """Its text with the line ends that it has."""
    return (sys.stdin.buffer.read() if name == STDIN else Path(name).read_bytes()).decode()


def _joined(texts: list[str]) -> str:
    """One stream of several files."""
    stream = ""
    for text in filter(None, texts):
        if stream and not stream.endswith("\n"):
            stream += "\n"
        if stream and not START.match(text):
            stream += "---\n"
        stream += text.removeprefix("\ufeff") if stream else text
    return stream


def _diff(name: str, before: str, after: str) -> str:
    lines = difflib.unified_diff(LINE.findall(before), LINE.findall(after), name, f"{name} (changed)")
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )
