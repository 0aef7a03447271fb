"""Keeps up with /etc/resolv.conf: whoever asks gets what it says now."""

import logging
from pathlib import Path

from proxy.policy.resolv_conf import ResolvConf, parse

log = logging.getLogger("headway.dns")

PATH = Path("/etc/resolv.conf")


class ResolvConfFile:
    """Looks at the file's state with each question (a microsecond), and reads it when that has changed."""

    def __init__(self, path: Path = PATH) -> None:
        self._path = path
        self._state: tuple[int, ...] | None = None
        self._conf = ResolvConf()
        self._conf = self()

    def __call__(self) -> ResolvConf:
        state = self._look()
        if state != self._state:
            first, self._state = self._state is None, state
            before, self._conf = self._conf, self._read()
            if self._conf != before and not first:
                names = ", ".join(map(str, self._conf.servers))
                log.info("%s changed: name servers %s, search %s", self._path, names, self._conf.domains)
        return self._conf

    def _look(self) -> tuple[int, ...]:
        try:
            found = self._path.stat()
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_ino, found.st_size

    def _read(self) -> ResolvConf:
        try:
            return parse(self._path.read_text(errors="replace"))
        except OSError:
            return ResolvConf()  # resolv.conf(5): no file, the name server of this host, no search list
