"""Says what changed between two JSON documents, as a JSON Patch (RFC 6902). Knows nothing of pods.

Of its own because the `jsonpatch` library would be one more thing in the image, describes an insertion into a
list as replacements of all that follow or as moves, and takes True for 1.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

Operation = dict[str, Any]


def changes(before: Any, after: Any, path: str = "") -> Iterator[Operation]:
    """The operations that make `after` of `before`, to be applied in this order."""
    if before is after:  # what both share is not gone through
        return
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _in_object(before, after, path)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _in_list(before, after, path)
    elif type(before) is not type(after) or before != after:  # True is no 1
        yield {"op": "replace", "path": path, "value": after}


def _in_object(before: dict[str, Any], after: dict[str, Any], path: str) -> Iterator[Operation]:
    for key in before:
        if key not in after:
            yield {"op": "remove", "path": f"{path}/{_escaped(key)}"}
    for key, value in after.items():
        if key not in before:
            yield {"op": "add", "path": f"{path}/{_escaped(key)}", "value": value}
        elif before[key] is not value:
            yield from changes(before[key], value, f"{path}/{_escaped(key)}")


def _in_list(before: list[Any], after: list[Any], path: str) -> Iterator[Operation]:
    """What both begin and end with stays: one item more in front is one addition."""
    first = _alike(before, after)
    old, new = before[first:], after[first:]
    if alike := _alike(old[::-1], new[::-1]):
        old, new = old[:-alike], new[:-alike]
    both = min(len(old), len(new))
    for index in range(both):
        yield from changes(old[index], new[index], f"{path}/{first + index}")
    for index in range(len(old) - 1, both - 1, -1):  # from the end: the indices before it hold
        yield {"op": "remove", "path": f"{path}/{first + index}"}
    for index in range(both, len(new)):
        yield {"op": "add", "path": f"{path}/{first + index}", "value": new[index]}


def _alike(one: list[Any], other: list[Any]) -> int:
    """With how many equal items both begin. As text: comparing objects would walk nested lists many times."""
    for index, (left, right) in enumerate(zip(one, other, strict=False)):
        if left is not right and msgspec.json.encode(left) != msgspec.json.encode(right):
            return index
    return min(len(one), len(other))


def _escaped(key: str) -> str:
    # RFC 6901 3: "~" is written "~0" and "/" is written "~1"; in this order, or "/" would become "~01"
    return key.replace("~", "~0").replace("/", "~1")
