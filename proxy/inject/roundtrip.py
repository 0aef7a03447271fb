"""Reads YAML and writes it again as its author did: comments, order, quotes, spacing. Knows no Kubernetes."""

import json
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from io import StringIO
from itertools import pairwise
from typing import Any

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.comments import TaggedScalar
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.representer import RoundTripRepresenter
from ruamel.yaml.scalarstring import DoubleQuotedScalarString as quoted

from proxy.inject.merge import carried_over
from proxy.inject.tabs import TabReader, TabScanner

# YAML 1.2, 9.2: these two begin a line as markers only, whatever stands around them.
START, END = re.compile(r"---(\s|$)"), re.compile(r"\.\.\.(\s|$)")
LINE = re.compile(r"[^\n]*\n|[^\n]+")  # splitlines() would also split at characters that YAML takes as text
BEFORE_JSON = re.compile(r"\ufeff?\s*(---\s+)?(?=\{)")
KEY = re.compile(r"(?P<before> *(- +)*)[^\s#-][^#]*:\s*(&\S+\s*)?(#.*)?$")  # what it holds stands below it

Change = Callable[[Any], object]

__all__ = ["START", "NotYaml", "Part", "load", "parts", "plain", "quoted", "rewritten"]


class NullRepresenter(RoundTripRepresenter):
    """Writes `null` where there is nothing; of itself ruamel.yaml leaves the key alone."""

    def represent_none(self, data: None) -> Any:
        return self.represent_scalar("tag:yaml.org,2002:null", "null")


NullRepresenter.add_representer(type(None), NullRepresenter.represent_none)


class NotYaml(Exception):
    """`line` counts from 0 in the text that was read; 0 also where nobody knows."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


class Part(msgspec.Struct, frozen=True):
    """One document of a stream with all that stands around it; `line` counts from 1."""

    line: int
    text: str


def parts(text: str) -> Iterator[Part]:
    """The documents of a stream. Joined again, they are the stream."""
    begin, held = 1, ""
    for number, line in enumerate(LINE.findall(text), 1):
        if START.match(line) and not _is_prelude(held):
            yield Part(begin, held)
            begin, held = number, ""
        held += line
        if END.match(line):
            yield Part(begin, held)
            begin, held = number + 1, ""
    if held:
        yield Part(begin, held)


def _is_prelude(held: str) -> bool:
    """Whether these lines are of the document that the next marker begins."""
    return all(not line.strip() or line.startswith(("#", "%", "\ufeff#")) for line in held.splitlines())


def load(text: str) -> Any:
    """The document in `text`, None where there is none. Raises NotYaml."""
    return _load(YAML(), text)


def _load(yaml: YAML, text: str) -> Any:
    yaml.preserve_quotes = True
    if "\t" in text:
        yaml.Reader, yaml.Scanner = TabReader, TabScanner
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)  # YAML 1.2, 3.2.2.2 allows it
            return yaml.load(text.removeprefix("\ufeff").replace("\r\n", "\n"))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = f"{error.problem or error.context}".split("\n")[0]
        raise NotYaml(mark.line if mark else 0, problem) from None
    except ReaderError as error:
        line = text[: text.find(chr(error.character))].count("\n")
        raise NotYaml(line, f"character #x{error.character:04x} is not allowed") from None
    except (YAMLError, ValueError) as error:
        raise NotYaml(0, str(error).split("\n")[0]) from None
    except RecursionError:
        raise NotYaml(0, "it is nested too deeply") from None


def plain(node: Any) -> Any:
    """The same in dicts and lists of its own: nothing is shared by way of anchors."""
    if isinstance(node, Mapping):
        return {key: plain(node[key]) for key in node}
    if isinstance(node, list):
        return [plain(each) for each in node]
    return (str(node.tag), node.value) if isinstance(node, TaggedScalar) else node


def rewritten(text: str, change: Change, expected: Any) -> str | None:
    """`text` after `change`, other lines as they were; None if it would say anything but `expected`."""
    if head := BEFORE_JSON.match(text):
        try:
            return head[0] + _rewritten_json(text[head.end() :], change)
        except ValueError:
            pass  # YAML that is not JSON
    after = ""
    for representer in (RoundTripRepresenter, NullRepresenter):
        yaml = _writer(text, representer)
        document = _load(yaml, text)
        before = _dumped(yaml, document, text)
        change(document)
        after = _dumped(yaml, document, text)
        # In a block of literal text, what looks like a comment or like nothing may be text.
        for candidate in (_merged(text, before, after, comments) for comments in (True, False)):
            if candidate is not None and _says(candidate, expected):
                return candidate
    return after if _says(after, expected) else None


def _writer(text: str, representer: type[RoundTripRepresenter]) -> YAML:
    yaml = YAML()
    yaml.Representer = representer
    yaml.width = 1 << 30  # of its own, it would fold long lines
    mapping, offset = _habit(text)
    yaml.indent(mapping=mapping, sequence=offset + 2, offset=offset)
    yaml.explicit_start = any(map(START.match, LINE.findall(text)))
    return yaml


def _says(text: str, expected: Any) -> bool:
    try:
        return bool(plain(load(text)) == expected)
    except NotYaml:  # what was written below a key that says `null` as well
        return False


def _merged(text: str, before: str, after: str, comments: bool) -> str | None:
    lines = LINE.findall(text)
    open_end = not lines[-1].endswith("\n")
    if open_end:
        lines[-1] += _ended_as(text, "\n")
    merged = carried_over(lines, LINE.findall(before), LINE.findall(after), comments=comments)
    if merged is None:
        return None
    whole = "".join(merged)
    return whole[:-1].removesuffix("\r") if open_end else whole


def _dumped(yaml: YAML, document: Any, text: str) -> str:
    stream = StringIO()
    yaml.dump(document, stream)
    return _ended_as(text, stream.getvalue())


def _ended_as(text: str, added: str) -> str:
    """`added` with the line ends that `text` has, most of the time."""
    windows = text.count("\r\n") * 2 > text.count("\n")
    return added.replace("\n", "\r\n") if windows else added


def _rewritten_json(text: str, change: Change) -> str:
    document = json.loads(text)
    change(document)
    indent = re.match(r"\{\r?\n([ \t]+)", text)
    end = "\n" if text.endswith("\n") else ""
    written = json.dumps(document, indent=indent and indent[1], ensure_ascii=text.isascii()) + end
    return _ended_as(text, written)


def _habit(text: str) -> tuple[int, int]:
    """By how much the author indents mappings and the dashes of lists, most of the time."""
    deeper: Counter[int] = Counter()
    dashes: Counter[int] = Counter()
    lines = [line for line in LINE.findall(text) if line.strip() and not line.lstrip().startswith("#")]
    for line, following in pairwise(lines):
        if key := KEY.match(line.rstrip()):
            depth = len(following) - len(following.lstrip(" ")) - len(key["before"])
            (dashes if following.lstrip(" ").startswith("- ") else deeper)[depth] += 1
    return _usual(deeper, 2, least=1), _usual(dashes, 2, least=0)


def _usual(counted: Counter[int], otherwise: int, least: int) -> int:
    return next((value for value, _ in counted.most_common() if least <= value <= 8), otherwise)
