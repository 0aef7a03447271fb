"""`headway inject` used wrongly, or on files that are no manifests: what is said, and the exit status."""

from pathlib import Path

import pytest

from tests.inject.conftest import Ended, Headway
from tests.inject.texts import POD, ok


@pytest.mark.parametrize(
    "arguments,said",
    [
        (["--set", "CONNECT_TIMEOUT"], "--set"),
        (["--set", "=1s"], "--set"),
        (["--set", "TARGET=a:80", "--target", "b:80"], "TARGET is given twice"),
        (["--set", "dns-hold=1s", "--set", "DNS_HOLD=2s"], "DNS_HOLD is given twice"),
        (["--loud"], "--loud"),
        (["app.yaml"], "app.yaml"),
    ],
)
def test_wrong_use(headway: Headway, arguments: list[str], said: str) -> None:
    """Status 2, a sentence, and nothing on standard output."""
    ended = headway("inject", *arguments, stdin=POD)

    assert (ended.status, ended.out) == (2, "")
    assert said in ended.err
    assert "Traceback" not in ended.err


def test_wrong_settings(headway: Headway) -> None:
    """All are named in the words of `headway check`, and no pod is half done."""
    ended = headway("inject", "--target", "orders", "--set", "LISTN=:80", "--cpu", "much", stdin=POD)

    assert (ended.status, ended.out) == (2, "")
    assert ended.err.splitlines()[1:] == [
        "  standard input, document 1 (line 1), Pod shop:",
        "    cpu 'much' is not an amount such as 10m or 0.5",
        "    HEADWAY_TARGET=orders: has no port; allowed: host:port (the port is the pods' targetPort),"
        " srv://_port._proto.host or static://ip:port,ip:port",
        "    HEADWAY_LISTN=:80: is not a setting; did you mean HEADWAY_LISTEN?",
    ]


def test_no_yaml(headway: Headway, tmp_path: Path) -> None:
    """The file and its line are named; what else there is comes out."""
    bad = tmp_path / "bad.yaml"
    bad.write_text(f"{POD}---\nkind: Pod\n  name: x\n---\n{POD}")
    ended = headway("inject", "-f", bad, "--target", "orders:8080")

    assert ended.status == 2
    assert f"  {bad}, line 10: this is no YAML: mapping values are not allowed here\n" in ended.err
    assert ended.out == f"{ok(POD)}---\n{ok(POD)}"


def test_files_that_cannot_be_read(headway: Headway, tmp_path: Path) -> None:
    """Not there: 1. No text: 2. In one line, and before anything is printed."""
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("name: café".encode("latin-1"))
    good = tmp_path / "good.yaml"
    good.write_text(POD)

    gone = headway("inject", "-f", good, "-f", tmp_path / "gone.yaml")
    assert gone == Ended(1, "", f"headway: cannot read {tmp_path}/gone.yaml: No such file or directory\n")
    assert headway("uninject", "-f", tmp_path).err == f"headway: cannot read {tmp_path}: Is a directory\n"
    ended = headway("inject", "-f", good, "-f", latin)
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert ended.err.startswith(f"headway: {latin} is not UTF-8:")
