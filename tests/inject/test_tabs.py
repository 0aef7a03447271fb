"""Tabs where YAML 1.2 has them as white space: kubectl takes such files, so they are taken."""

import pytest
import yaml

from tests.inject.texts import POD, inject, ok, out

AFTER = "    image: app:1"
PLAIN = POD.replace("{name: shop}", "\n  name: shop")  # braces would be written anew


@pytest.mark.parametrize(
    "old,new",
    [
        ("app:1", "app:1\t"),
        ("app:1", "app:1 \t # one\ttwo"),
        ("app:1", '"app:1"\t'),
        ("image: app", "image:\tapp"),
        ("image:", "image\t:"),
        ("app:1", "!!str\tapp:1"),
        ("app:1", "&image\tapp:1\n    args: [*image\t]"),
        ("spec:", "spec:\t"),
        ("spec:", "spec:\t&spec\t# the pod's"),
        ("spec:", "\t\nspec:"),
        ("  - name", "  \t# one\n  - name"),
        (AFTER, f"{AFTER}\n    args:\n    - one\ttwo\t\n      \tthree\n    - b"),
        (AFTER, f"{AFTER}\n    args:\n    - |\t# literal\n      a:\t1\t\n\n      \tb"),
        (AFTER, f"{AFTER}\n    args: {{a:\tb,\tc: [d\t,\n      e\t]}}\t"),
        ("apiVersion", "---\t# first\napiVersion"),
        (f"{AFTER}\n", f"{AFTER}\n...\t\n"),
        (f"{AFTER}\n", f"{AFTER}\t"),
    ],
)
def test_tabs_that_separate(old: str, new: str) -> None:
    """The sidecar goes in and out, and every line with a tab is the author's to the byte."""
    text = PLAIN.replace(old, new)
    after = ok(text)
    rest = iter(after.splitlines())

    assert all(line in rest for line in text.splitlines())
    assert out(after) == text


def test_a_tab_inside_a_value() -> None:
    """It stays one: the value is what kubectl reads, even where the line has to be written anew."""
    after = ok(POD.replace("{name: shop}", "{annotations: {a: one\ttwo\t}\t}"))

    assert yaml.safe_load(after)["metadata"]["annotations"]["a"] == "one\ttwo"


@pytest.mark.parametrize(
    "old,new", [("    image", "\timage"), ("- name", "-\tname"), ("    image", "    \timage")]
)
def test_tabs_that_would_indent(old: str, new: str) -> None:
    """Neither YAML nor kubectl takes those; the line is named."""
    (refusal,) = inject(POD.replace(old, new)).refusals

    assert refusal.endswith(r"this is no YAML: found character '\t' that cannot start any token")
