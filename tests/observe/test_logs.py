"""Log lines, as a log collector and a person at a terminal get them."""

import json
import logging
from collections.abc import Callable, Iterator

import pytest

from proxy.config import LogFormat, LogLevel
from proxy.observe import logs

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("headway")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


def written(finish: Callable[[], None], capfd: Capture) -> str:
    """All that was logged, once it is really out."""
    finish()
    return capfd.readouterr().err


def test_json_lines_carry_the_pod_and_the_fields(capfd: Capture) -> None:
    """A collector gets one object a line: when, how bad, whose, what, and the details as fields."""
    finish = logs.set_up(LogLevel.INFO, LogFormat.JSON, {"pod": "shop-1"})
    logging.getLogger("headway.pool").info("added %s", "10.0.0.1:80", extra={"fields": {"attempts": 2}})
    line = json.loads(written(finish, capfd))

    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info",
        "logger": "headway.pool",
        "message": "added 10.0.0.1:80",
        "pod": "shop-1",
        "attempts": 2,
    }


def test_a_crash_stays_one_line(capfd: Capture) -> None:
    """A traceback is a field of its line, not ten lines that a collector tears apart."""
    finish = logs.set_up(LogLevel.INFO, LogFormat.JSON, {})
    try:
        raise RuntimeError("boom")
    except RuntimeError:
        logging.getLogger("headway").exception("crashed")

    assert "RuntimeError: boom" in json.loads(written(finish, capfd))["traceback"]


def test_text_lines_are_for_people(capfd: Capture) -> None:
    """On a terminal: time, level, message, details."""
    finish = logs.set_up(LogLevel.INFO, LogFormat.TEXT, {"pod": "shop-1"})
    logging.getLogger("headway").info("connection refused", extra={"fields": {"attempts": 3}})

    assert written(finish, capfd).endswith(" info    connection refused attempts=3\n")


def test_auto_is_json_where_no_terminal_is(capfd: Capture) -> None:
    """In a container nobody has to ask for JSON."""
    finish = logs.set_up(LogLevel.INFO, LogFormat.AUTO, {})
    logging.getLogger("headway").info("up")

    assert json.loads(written(finish, capfd))["message"] == "up"


def test_level_is_ours_only(capfd: Capture) -> None:
    """LOG_LEVEL=debug shows our details, not those of every library."""
    finish = logs.set_up(LogLevel.DEBUG, LogFormat.TEXT, {})
    logging.getLogger("headway").debug("ours")
    logging.getLogger("asyncio").info("theirs")

    lines = written(finish, capfd)
    assert "ours" in lines
    assert "theirs" not in lines


def test_a_line_that_cannot_be_formatted(capfd: Capture) -> None:
    """A bad log call, ours or a library's, costs its line and nothing else."""
    finish = logs.set_up(LogLevel.INFO, LogFormat.JSON, {})
    logging.getLogger("headway").info("%d pods", "three")
    logging.getLogger("headway").info("on we go")

    bad, good = written(finish, capfd).splitlines()
    assert "could not be formatted: '%d pods'" in bad
    assert json.loads(good)["message"] == "on we go"
