"""RELAY: the native relay where it is built; who insists on it is told when it is not."""

import sys

import pytest
from typer.testing import CliRunner

from proxy import app
from proxy.cli import commands
from proxy.config import RelayKind
from proxy.datapath.engines import NOT_BUILT, chosen, is_built, remark
from proxy.errors import SettingsError

THE_BUILT_ONE = "proxy.datapath.native._relay"


@pytest.fixture
def not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after an installation without a compiler."""
    monkeypatch.setattr("proxy.datapath.native._relay", None, raising=False)
    monkeypatch.delattr("proxy.datapath.native._relay")
    monkeypatch.setitem(sys.modules, THE_BUILT_ONE, None)


def test_asyncio_is_always_there() -> None:
    """Who asks for it gets it, and no remark."""
    assert chosen(RelayKind.ASYNCIO) is RelayKind.ASYNCIO
    assert remark(RelayKind.ASYNCIO) == ""


@pytest.mark.skipif(not is_built(), reason=NOT_BUILT)
@pytest.mark.parametrize("wanted", [RelayKind.AUTO, RelayKind.NATIVE])
def test_the_native_one_is_preferred(wanted: RelayKind) -> None:
    """Where it is built, auto means native."""
    assert chosen(wanted) is RelayKind.NATIVE
    assert remark(wanted) == ""


@pytest.mark.usefixtures("not_built")
def test_auto_makes_do() -> None:
    """Without it asyncio's relay does the work, and what that means is said."""
    assert chosen(RelayKind.AUTO) is RelayKind.ASYNCIO
    assert remark(RelayKind.AUTO) == f"{NOT_BUILT}; asyncio's does its work, at a higher price"
    assert remark(RelayKind.ASYNCIO) == ""


@pytest.mark.usefixtures("not_built")
def test_native_is_an_error() -> None:
    """Who insists on it learns how to build it."""
    with pytest.raises(SettingsError, match=r"HEADWAY_RELAY=native: .* is not built here: .*gcc"):
        chosen(RelayKind.NATIVE)


@pytest.mark.usefixtures("not_built")
def test_it_ends_with_2(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The process does not start without the relay that was asked for."""
    monkeypatch.setenv("HEADWAY_TARGET", "static://127.0.0.1:1")
    monkeypatch.setenv("HEADWAY_LISTEN", "127.0.0.1:2")
    monkeypatch.setenv("HEADWAY_RELAY", "native")

    assert app.main() == 2
    assert "HEADWAY_RELAY=native: the native relay is not built here" in capsys.readouterr().err


@pytest.mark.usefixtures("not_built")
@pytest.mark.parametrize("wanted,status", [("auto", 0), ("native", 2), ("asyncio", 0)])
def test_check_says_so(wanted: str, status: int) -> None:
    """`headway check` says what the process would say, and with the same status."""
    env = {"HEADWAY_TARGET": "static://127.0.0.1:1", "HEADWAY_LISTEN": "127.0.0.1:2", "HEADWAY_RELAY": wanted}
    done = CliRunner().invoke(commands, ["check"], env=env)

    assert done.exit_code == status
    assert ("is not built here" in done.stderr) is (wanted != "asyncio")
