"""Files in every way that YAML can be written: what changes, what stays, what is refused, not spoilt."""

import json

import pytest
import yaml

from proxy.inject.manifest import injecting, rewrite
from proxy.inject.merge import carried_over
from proxy.inject.order import IMAGE, Order
from tests.inject.texts import POD, TWO, inject, ok, out, spec

# --- ways of writing ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [
        "metadata: {name: shop}",
        "metadata: {annotations: {a: b}}",
        "metadata:\n  annotations: {  a:   b  }",
        "metadata:\n  annotations:\n    a: 'b'   # c\n  # d\n  name: shop",
        "metadata:\n  name: shop\n\n# of the spec",
        "metadata:\n      name: shop\n      annotations:\n        a: |+\n          b\n\n",
        'metadata:\n  "name": &n shop\n  labels:\n    a: *n',
        "metadata: &m\n  name: shop",
        "metadata:\n  name: >-\n    shop\n    two",
        "metadata:\n  name: shop\n  annotations:\n    a: one\n      two\n    b: 'three\n\n      four'",
        "metadata:\n  name: a\u2003b\n  annotations:\n    é: \U0001f600",
        "metadata:\n  ? name\n  : shop",
    ],
)
def test_metadata_in_any_style(written: str) -> None:
    """The mark joins whatever is there, the rest says the same, and comes back to the byte or in meaning."""
    text = POD.replace("metadata: {name: shop}", written)
    after, before = yaml.safe_load(ok(text)), yaml.safe_load(text)
    marked = after["metadata"]["annotations"].pop("headway.dev/injected")
    (sidecar,) = after["spec"].pop("initContainers")
    after["metadata"]["annotations"] or after["metadata"].pop("annotations")

    assert marked and sidecar["name"] == "headway"
    assert after == before
    assert yaml.safe_load(out(ok(text))) == before
    assert out(ok(text)) == text or "{  a:   b  }" in text


@pytest.mark.parametrize(
    "written",
    [
        "  - name: first\n    image: x\n",
        "      - name: first\n        image: x\n",
        "  -   name: first\n      image: x\n",
        "  # one\n\n  - {name: first, image: x}   # two\n",
        "    # one\n    - name: first\n      # two\n      image: x\n    # three\n",
        "  -\n    name: first\n    image: x\n",
        "  - &first\n    name: first\n    image: x\n",
    ],
)
def test_a_list_of_its_own_indentation(written: str) -> None:
    """Within one file lists are written in several ways; the new item looks like its neighbours."""
    block = POD.replace("metadata: {name: shop}", "metadata:\n  name: shop")
    text = block.replace("  containers:\n", f"  initContainers:\n{written}  containers:\n")
    after = ok(text)
    rest = iter(after.splitlines())

    assert [each["name"] for each in spec(after)["initContainers"]] == ["headway", "first"]
    assert all(line in rest for line in text.splitlines())
    assert out(after) == text


@pytest.mark.parametrize(
    "text",
    [
        "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: app, image: x}]}}\n",
        "--- {apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: app, image: x}]}}\n",
        POD.replace("spec:\n", "spec: {\n").replace("  - name", "  [{ name").replace("    image", "  , image")
        + "  }]}\n",
    ],
)
def test_flow_style(text: str) -> None:
    """A document in braces cannot get lines; it says the same afterwards, and is written as one can."""
    text = text.replace("[{ name: app\n", "[{ name: app\n")
    before, after = yaml.safe_load(text), yaml.safe_load(ok(text))

    assert after["spec"].pop("initContainers")[0]["name"] == "headway"
    assert after["metadata"].pop("annotations")
    assert after == before
    assert yaml.safe_load(out(ok(text))) == before


def test_a_line_that_has_to_change() -> None:
    """In braces it is one line still, however long, with the quotes it had."""
    long = "words " * 30
    text = POD.replace("{name: shop}", f"{{annotations: {{a: 'b', c: \"{long}\", d: {long}}}}}")

    assert f"{{a: 'b', c: \"{long}\", d: {long.strip()}, headway.dev/injected: " in ok(text)


def test_new_settings_touch_only_their_lines() -> None:
    """What a person wrote inside the sidecar meanwhile stays as far as it says the same."""
    once = (
        ok(POD)
        .replace("cpu: 10m\n", "cpu: 10m   # measured\n")
        .replace("    env:\n", "    # why\n    env:\n")
    )
    again = inject(once, target="users:9090").text

    assert again == once.replace("orders:8080", "users:9090")


@pytest.mark.parametrize("indent", [None, 1, 4, "\t"])
def test_json(indent: int | str | None) -> None:
    """JSON stays JSON, indented as it was."""
    text = json.dumps(yaml.safe_load(POD) | {"note": "café"}, indent=indent) + "\n"
    after = ok(text)

    assert json.loads(after)["spec"]["initContainers"][0]["name"] == "headway"
    assert after == json.dumps(json.loads(after), indent=indent) + "\n"
    assert out(after) == text


@pytest.mark.parametrize("before", ["---\n", "--- ", "\ufeff", "\n", "\ufeff---\r\n"])
def test_json_behind_a_marker(before: str) -> None:
    """It stays JSON in a stream, where `headway inject` itself puts a marker before it."""
    text = before + json.dumps(yaml.safe_load(POD)) + "\n"

    assert json.loads(ok(text).removeprefix(before))["metadata"]["annotations"]
    assert out(ok(text)) == text


def test_windows_line_ends_but_for_the_last() -> None:
    """What is written behind a last line without an end begins a line as the others do."""
    pod = POD.replace("metadata: {name: shop}\n", "") + "metadata:\n  name: shop"
    text = pod.replace("\n", "\r\n")
    after = ok(text)

    assert after.count("\n") == after.count("\r\n") > 40
    assert not after.endswith("\n")
    assert out(after) == text


def test_windows_line_ends() -> None:
    """Added lines end as the others do."""
    after = ok(POD.replace("\n", "\r\n"))

    assert after.count("\n") == after.count("\r\n") > 40
    assert after.replace("\r\n", "\n") == ok(POD)


def test_line_ends_of_both_kinds() -> None:
    """Each line keeps its own, and comes back with it; JSON has one kind."""
    text = POD.replace("{name: shop}", "\n  name: shop").replace("spec:\n", "spec:\r\n")
    json_ = json.dumps(yaml.safe_load(POD), indent=2).replace("\n", "\r\n") + "\r\n"

    assert set(text.splitlines(True)) <= set(ok(text).splitlines(True))
    assert out(ok(text)) == text
    assert ok(json_).count("\n") == ok(json_).count("\r\n") > 40
    assert out(ok(json_)) == json_


@pytest.mark.parametrize("null", ["null", "~", "Null", '!!null ""', "", "{}", "  # none"])
def test_nothing_in_every_spelling(null: str) -> None:
    """Charts write `annotations: null` where there are none: that line changes, and no other."""
    block = POD.replace("{name: shop}", f"\n  name: shop\n  annotations: {null}")
    text = block.replace("    image", "    env: ~\n    image") + "# end\n"
    after = ok(text)
    rest = iter(after.splitlines())

    assert all(line in rest for line in text.splitlines() if "annotations" not in line)
    assert list(yaml.safe_load(after)["metadata"]["annotations"]) == ["headway.dev/injected"]


@pytest.mark.parametrize("null", ["null", "~", "", "[]"])
def test_no_init_containers_in_every_spelling(null: str) -> None:
    """The same of the list that the sidecar goes into."""
    after = ok(POD + f"  initContainers: {null}\n")

    assert [each["name"] for each in spec(after)["initContainers"]] == ["headway"]


def test_no_newline_at_the_end() -> None:
    """None is added."""
    assert ok(POD.rstrip()) == ok(POD).rstrip()


def test_values_that_old_yaml_takes_for_something_else() -> None:
    """Kubernetes reads YAML 1.1: `off` and `22:22` must not become False and a number there."""
    settings = {"TARGET": "orders:8080", "ACCESS_LOG": "off", "POD_NAME": "22:22", "HEALTH_FALL": "3"}
    for text in (POD, json.dumps(yaml.safe_load(POD))):
        result = rewrite("a", text, injecting(Order(image=IMAGE, settings=settings), False))
        env = spec(result.text)["initContainers"][0]["env"]

        assert [each.get("value") for each in env][:4] == list(settings.values())


# --- anchors ------------------------------------------------------------------------------------


def test_a_template_for_two() -> None:
    """Both get the same, written once."""
    after = ok(TWO)
    one, two = (each["spec"]["template"] for each in yaml.safe_load(after)["items"])

    assert one == two
    assert after.count("name: headway\n") == 1
    assert out(after) == TWO


@pytest.mark.parametrize(
    "shared",
    [
        POD.replace("{name: shop}", "\n  annotations: &a {b: c}\n  labels: *a"),
        POD.replace("spec:", "x: &i\n- {name: i, image: i}\nspec:\n  initContainers: *i"),
        POD.replace("spec:\n", "x: &base\n  initContainers: [{name: i, image: i}]\nspec:\n  <<: *base\n"),
    ],
)
def test_what_is_shared_with_something_else(shared: str) -> None:
    """A change here would be one there as well: it is refused, not made."""
    result = inject(shared)

    assert result.kept == ""
    assert result.text == shared
    assert result.refusals == [
        "app.yaml, document 1 (line 1): what the sidecar has to go into is shared by a YAML anchor:"
        " write it out there"
    ]


def test_merged_keys_that_are_only_read() -> None:
    """A pod that takes some of its keys from elsewhere is a pod."""
    text = POD.replace("spec:\n", "x: &base {restartPolicy: Never}\nspec:\n  <<: *base\n")

    assert spec(ok(text))["restartPolicy"] == "Never"
    assert out(ok(text)) == text


# --- carrying a change over ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "text,old,new,want",
    [
        ("a\n  b", "a\nb", "a\nx\nb", "a\n  x\n  b"),
        ("a\n#c\nb", "a\n#c\nb", "a\n#c\nx\nb", "a\nx\n#c\nb"),
        ("a\n x\n#c\nb", "a\n x\n#c\nb", "a\nb", "a\n#c\nb"),
        ("a:\n  - b", "a:\n- b", "a:\n- x\n- b", "a:\n  - x\n  - b"),
        ("a:\n    b:  2", "a:\n  b: 2", "a:\n  b: 2\n  d: 3", "a:\n    b:  2\n    d: 3"),
        ("a\nb   ,c", "a\nb, c", "a\nb, c, d", "a\nb, c, d"),
    ],
)  # fmt: skip
def test_carried_over(text: str, old: str, new: str, want: str) -> None:
    """What a program added to its own spelling is added to the person's, at its depth, above its comments."""
    assert carried_over(*([line + "\n" for line in each.split("\n")] for each in (text, old, new))) == [
        line + "\n" for line in want.split("\n")
    ]


def test_what_is_not_clear_is_not_carried_over() -> None:
    """A place that cannot be found again is no place."""
    assert carried_over(["x\n"], ["a\n", "b\n", "c\n"], ["a\n", "c\n"]) is None
