"""Carries a change over from one text to another that says the same in other spacing. Knows no YAML."""

from collections.abc import Iterator
from difflib import SequenceMatcher

import msgspec

Lines = list[str]


class _Edit(msgspec.Struct, frozen=True):
    """Lines `start` to `stop` of the text become `lines`."""

    start: int
    stop: int
    lines: Lines


class _Unclear(Exception):
    pass


def carried_over(text: Lines, old: Lines, new: Lines, *, comments: bool = True) -> Lines | None:
    """`text` with the change from `old` to `new`, every other line untouched; None where it is not clear how.

    `text` is what a person wrote, `old` how a program writes the same, `new` what the program made of that.
    `comments`: lines that look like comments, and empty ones, stay with what follows them.
    """
    places = _places(text, old)
    try:
        edits = list(_edits(text, old, new, places, comments))
    except _Unclear:
        return None
    result = list(text)
    for edit in reversed(edits):
        result[edit.start : edit.stop] = edit.lines
    return result


def _places(text: Lines, old: Lines) -> dict[int, int]:
    """Where each line of `old` is in `text`, whatever its spacing."""
    bare_old, bare_text = ([" ".join(line.split()) for line in lines] for lines in (old, text))
    places: dict[int, int] = {}
    for _, start, stop, there, end in SequenceMatcher(None, bare_old, bare_text, False).get_opcodes():
        if stop - start == end - there:  # equal, or so many lines written in another way
            places.update(zip(range(start, stop), range(there, end), strict=True))
    return places


def _edits(text: Lines, old: Lines, new: Lines, places: dict[int, int], comments: bool) -> Iterator[_Edit]:
    for what, start, stop, new_start, new_stop in SequenceMatcher(None, old, new, False).get_opcodes():
        if what == "equal":
            continue
        added = _indented(new[new_start:new_stop], _shift(text, old, start, new[new_start:new_stop], places))
        if what == "insert":
            place = _place_before(text, start, places)
            if comments:
                place = _above_comments(text, place, added)
            yield _Edit(place, place, added)
        else:
            first, last = (places.get(index) for index in (start, stop - 1))
            if first is None or last is None or last - first != stop - 1 - start:
                raise _Unclear
            stop_there = _without_comments(text, first, last + 1) if comments else last + 1
            yield _Edit(first, stop_there, added)


def _place_before(text: Lines, index: int, places: dict[int, int]) -> int:
    if index in places:
        return places[index]
    if index - 1 in places:
        return places[index - 1] + 1
    raise _Unclear


def _above_comments(text: Lines, place: int, added: Lines) -> int:
    """A comment belongs to what follows it, and stays there."""
    own = _indent(added[0])
    following = _indent(text[place]) if place < len(text) else -1
    while place > 0 and _is_aside(text[place - 1]):
        if own > following:  # the end of a block: what its last lines say belongs to it if it is as deep
            moves = not text[place - 1].strip() or _indent(text[place - 1]) < own
        else:
            moves = bool(text[place - 1].strip()) and _indent(text[place - 1]) == following
        if not moves:
            break
        place -= 1
    return place


def _without_comments(text: Lines, start: int, stop: int) -> int:
    """The end of what goes: asides that follow it belong to what comes next."""
    while stop > start and _is_aside(text[stop - 1]):
        stop -= 1
    return stop


def _shift(text: Lines, old: Lines, index: int, added: Lines, places: dict[int, int]) -> int:
    """How much deeper than `old` the text indents what is added, judged by a sibling, else the parent."""
    if not added:
        return 0
    before = [near for near in range(index - 1, -1, -1) if near in places and not _is_aside(old[near])]
    for near in (index, *before):
        if near >= len(old) or near not in places or _is_aside(old[near]):
            continue
        deeper = _indent(old[near]) - _indent(added[0])
        is_sibling = deeper == 0 and _is_item(old[near]) == _is_item(added[0])
        if is_sibling or (near != index and _holds(old[near], added[0])):
            return _indent(text[places[near]]) - _indent(old[near])
    return 0


def _holds(parent: str, child: str) -> bool:
    depth = _indent(child) - _indent(parent)
    return depth > 0 or (depth == 0 and _is_item(child) and not _is_item(parent))


def _indented(lines: Lines, shift: int) -> Lines:
    if shift < 0:
        return [line[min(-shift, _indent(line)) :] for line in lines]
    return [" " * shift + line for line in lines]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _is_item(line: str) -> bool:
    return line.lstrip(" ").startswith("- ")


def _is_aside(line: str) -> bool:
    """A comment or nothing. In a block of literal text such a line is deeper than what may be added."""
    return not line.strip() or line.lstrip(" ").startswith("#")
