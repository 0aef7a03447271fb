"""Log lines: JSON for machines, text for a terminal. Both go to standard error."""

import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from proxy.config import LogFormat, LogLevel


def set_up(level: LogLevel, style: LogFormat, pod: Mapping[str, str]) -> None:
    """Send log lines to standard error; `pod` says whose they are and stands in each JSON line."""
    as_text = style is LogFormat.TEXT or (style is LogFormat.AUTO and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Text() if as_text else _Json(pod))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)  # of libraries only what matters
    logging.getLogger("headway").setLevel(level.value.upper())


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
