"""Log lines: JSON for machines, text for a terminal. Both go to standard error."""

import logging
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from queue import Full, Queue
from select import select
from threading import Thread

import msgspec

from proxy.config import LogFormat, LogLevel

MOST_LINES = 1000  # that wait to be written; more are lost, and counted
FINISH_WITHIN_S = 1.0
STDERR = 2


def set_up(level: LogLevel, style: LogFormat, pod: Mapping[str, str]) -> Callable[[], None]:
    """Send log lines to standard error; `pod` says whose they are and stands in each JSON line.

    Returns what writes out the rest of them at the end.
    """
    as_text = style is LogFormat.TEXT or (style is LogFormat.AUTO and sys.stderr.isatty())
    handler = _Handler()
    handler.setFormatter(_Text() if as_text else _Json(pod))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)  # of libraries only what matters
    logging.getLogger("headway").setLevel(level.value.upper())
    return handler.finish


class _Handler(logging.Handler):
    """Writes from a thread of its own: a reader that stalls must stall no connection.

    Past sys.stderr, whose lock and buffer would hold the process up at its end, too.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines: Queue[str | None] = Queue(MOST_LINES)
        self._lost = 0
        self._thread = Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception as error:  # a line that cannot be formatted must not fail whoever wrote it
            line = f"a log line could not be formatted: {record.msg!r} ({error!r})"
        try:
            self._lines.put_nowait(line)
        except Full:
            self._lost += 1

    def finish(self) -> None:
        with suppress(Full):
            self._lines.put_nowait(None)
        self._thread.join(FINISH_WITHIN_S)

    def _write(self) -> None:
        told = 0
        while (line := self._lines.get()) is not None:
            if lost := self._lost - told:
                told += lost
                text = f"{lost} log lines were lost: nobody read them"
                record = logging.LogRecord("headway.logs", logging.WARNING, "", 0, text, None, None)
                line = f"{line}\n{self.format(record)}"
            _write_out(f"{line}\n".encode(errors="replace"))


def _write_out(data: bytes) -> None:
    while data:
        try:
            data = data[os.write(STDERR, data) :]
        except BlockingIOError:  # somebody who shares the pipe made it so
            select([], [STDERR], [])
        except OSError:
            return  # the reader is gone


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return getattr(record, "fields", {})


def _when(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


class _Json(logging.Formatter):
    def __init__(self, pod: Mapping[str, str]) -> None:
        super().__init__()
        self._pod = pod

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _when(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._pod,
            **_fields(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        extra = "".join(f" {key}={value}" for key, value in _fields(record).items())
        line = f"{_when(record)} {record.levelname.lower():7} {record.getMessage()}{extra}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line
