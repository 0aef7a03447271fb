"""JSON patches: applied by somebody else's library they give exactly what was wanted, and they are small."""

import copy
import json
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.injector.patch import changes

SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.text("a~/01é\n", max_size=3)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text("ab~/0", max_size=3), inner, max_size=5)
    ),
    max_leaves=20,
)


def exactly(document: Any) -> str:
    """As text, for Python takes True for 1 and 1 for 1.0."""
    return json.dumps(document, sort_keys=True)


@given(DOCUMENTS, DOCUMENTS)
def test_applied_it_gives_the_other(before: Any, after: Any) -> None:
    """Whatever the two documents are."""
    patch = json.loads(json.dumps(list(changes(before, after))))

    assert exactly(jsonpatch.apply_patch(copy.deepcopy(before), patch)) == exactly(after)


@given(st.lists(DOCUMENTS, max_size=6), st.integers(0, 6), DOCUMENTS)
def test_one_item_more_is_one_operation(items: list[Any], place: int, item: Any) -> None:
    """However long the list is, and even if it has equal items."""
    after = [*items[:place], item, *items[place:]]
    (operation,) = changes(items, after)

    assert operation["op"] == "add"


@given(DOCUMENTS)
def test_nothing_changed(document: Any) -> None:
    """Equal documents need no operation."""
    assert list(changes(document, copy.deepcopy(document))) == []


def test_what_both_share_is_not_gone_through() -> None:
    """However large it is: looking into this one would fail."""
    shared = [object()]
    before, after = {"a": shared, "b": [shared]}, {"a": shared, "b": [shared, 1]}

    assert list(changes(before, after)) == [{"op": "add", "path": "/b/1", "value": 1}]


@pytest.mark.parametrize(
    "before,after,want",
    [
        ({}, {"a": 1}, [{"op": "add", "path": "/a", "value": 1}]),
        ({"a": 1, "b": 2}, {"b": 2}, [{"op": "remove", "path": "/a"}]),
        ({"a": 1}, {"a": True}, [{"op": "replace", "path": "/a", "value": True}]),
        ({"a": 0}, {"a": 0.0}, [{"op": "replace", "path": "/a", "value": 0.0}]),
        ({"a": None}, {"a": []}, [{"op": "replace", "path": "/a", "value": []}]),
        ([{"n": 1}, {"n": 2}], [{"n": 1}, {"n": 3}], [{"op": "replace", "path": "/1/n", "value": 3}]),
        ([1, 2, 3, 4], [1, 4], [{"op": "remove", "path": "/2"}, {"op": "remove", "path": "/1"}]),
        # RFC 6901 3 and 4: ~01 is "~1" and not "/"
        ({}, {"headway.dev/x~1": 1}, [{"op": "add", "path": "/headway.dev~1x~01", "value": 1}]),
        (1, 2, [{"op": "replace", "path": "", "value": 2}]),
    ],
)
def test_operations(before: Any, after: Any, want: list[Any]) -> None:
    """Only what differs is touched, at the right place."""
    assert exactly(list(changes(before, after))) == exactly(want)
