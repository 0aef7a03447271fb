"""Files of several documents: where they are cut, which pass through, which are refused."""

import pytest

from proxy.inject import roundtrip
from proxy.inject.manifest import Rewritten
from proxy.inject.roundtrip import parts
from tests.inject.texts import POD, TWO, inject, ok


@pytest.mark.parametrize(
    "text,count",
    [
        ("", 0),
        ("# nothing\n", 1),
        ("a: 1", 1),
        ("---\na: 1\n---\nb: 2\n", 2),
        ("# head\n---\na: 1\n", 1),
        ("%YAML 1.2\n---\na: 1\n...\n%YAML 1.2\n---\nb: 2\n", 2),
        ("a: |\n  ---\n  text\n--- # two\nb: 2\n---\n", 3),
        ("a: 1\r\n---\r\nb: 2\r\n", 2),
        ("a: ---b\n---c: 1\n", 1),
        ('a: "\u2028---\u2028"\n', 1),
    ],
)
def test_documents(text: str, count: int) -> None:
    """They are cut where YAML cuts them; together they are the file."""
    found = list(parts(text))

    assert len(found) == count
    assert "".join(part.text for part in found) == text
    assert all(
        text.splitlines(keepends=True)[part.line - 1] == part.text.splitlines(True)[0] for part in found[:1]
    )


def test_documents_without_a_wish_are_not_even_written_again() -> None:
    """Whatever stands beside a workload stays as it is, odd spacing and all."""
    odd = (
        '---\n{"a":   1}\n'
        "---\n{ a:   [1,2 ,3], 'b' : \"c\"  }   # what?\n---\n# nothing\n---\n- x\n-  y\n--- |\n text\n---\n"
    )

    json = '{"apiVersion": "v1", "kind": "Pod", "spec": {"containers":   []}}\n'

    assert ok(odd + POD) == odd + ok(POD)
    assert inject(json, target=None).text == json
    assert inject(odd + POD, target=None) == Rewritten(odd + POD, odd + POD)


@pytest.mark.parametrize(
    "text",
    [
        POD.replace("kind: Pod", "kind: [Pod]"),
        POD.replace("apiVersion: v1\n", ""),
        "apiVersion: batch.volcano.sh/v1alpha1\nkind: Job\nspec: {tasks: []}\n",
        "apiVersion: v1\nkind: List\nitems: none\n",
        "apiVersion: a/v1\nkind: PodList\nitems: [x, {kind: [Pod]}, {metadata: {}}, null]\n",
        "apiVersion: v1\nkind: List\nitems: [{spec: {containers: []}}, {kind: Pod, spec: {}}]\n",
    ],
)
def test_other_kinds_pass_through(text: str) -> None:
    """In silence, where no pods come of them, or nothing that Kubernetes would take."""
    assert inject(text) == Rewritten(text, text)


def test_definitions_are_not_even_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Charts bring megabytes of them, and reading takes its time; no pods come of them."""
    definition = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nspec: {a:   b}\n"
    read: list[str] = []
    load = roundtrip.load

    def noting(text: str) -> object:
        read.append(text)
        return load(text)

    monkeypatch.setattr(roundtrip, "load", noting)

    assert ok(f"{definition}---\n{POD}") == f"{definition}---\n{ok(POD)}"
    assert not any("CustomResourceDefinition" in text for text in read)
    assert (
        inject(f"{definition}---\n{POD}  hostNetwork: true\n")
        .refusals[0]
        .startswith("app.yaml, document 2 (line 5), Pod shop:")
    )


# --- no YAML ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text,line,problem",
    [
        ("a: b: c\n", 1, "mapping values are not allowed here"),
        ("a: 1\na: 2\n", 2, 'found duplicate key "a" with value "2" (original value: "1")'),
        ("a:\n\t- b\n", 2, "found character '\\t' that cannot start any token"),
        ("a: *b\n", 1, "found undefined alias 'b'"),
        ("a: 'b\n", 2, "found unexpected end of stream"),
        ("a: \x07\n", 1, "character #x0007 is not allowed"),
        ("a: " + "[" * 400 + "]" * 400 + "\n", 1, "it is nested too deeply"),
    ],
)
def test_where_it_is_no_yaml(text: str, line: int, problem: str) -> None:
    """The file and the line are named, counted in the whole file; the other documents are not lost."""
    result = inject(f"{POD}---\n{text}---\n{POD}")

    assert result.refusals == [f"app.yaml, line {POD.count(chr(10)) + 1 + line}: this is no YAML: {problem}"]
    assert result.kept.count("name: headway") == 2
    assert text not in result.kept
    assert text in result.text


def test_a_refused_list_is_refused_whole() -> None:
    """All reasons of all its workloads are told, under their names."""
    broken = TWO.replace("containers: [", "containers: [{name: headway}, ")
    result = inject(broken + "---\n" + POD)

    assert [each.split(":\n")[0] for each in result.refusals] == [
        "app.yaml, document 1 (line 1), Deployment one",
        "app.yaml, document 1 (line 1), Deployment two",
    ]
    assert result.kept == "---\n" + ok(POD)
