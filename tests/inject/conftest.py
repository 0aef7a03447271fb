"""The `headway` command in this process, with its standard input."""

import io
import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from proxy import __main__


class Ended(NamedTuple):
    status: int
    out: str
    err: str


Headway = Callable[..., Ended]


@pytest.fixture
def headway(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Headway:
    """`headway("inject", "-f", path)`, or with `stdin="…"`; line ends stay what they are."""

    def call(*arguments: str, stdin: str = "") -> Ended:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        monkeypatch.setattr(sys, "argv", ["headway", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            sys.exit(__main__.main())
        return Ended(int(end.value.code or 0), *capsys.readouterr())

    return call
