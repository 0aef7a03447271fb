"""Gives TLS the certificate in a directory, and the next one once it lies there; connections live on."""

import logging
import ssl
from datetime import datetime
from pathlib import Path
from typing import Protocol

from proxy.injector.expiry import not_after

log = logging.getLogger("headway.injector")

CERTIFICATE, KEY = "tls.crt", "tls.key"  # as a Secret of type kubernetes.io/tls is mounted
LOOK_EVERY_S = 2.0


class Calendar(Protocol):
    """A clock that knows the date: certificates go by it."""

    def now(self) -> float: ...
    def date(self, moment: float) -> datetime: ...
    async def sleep(self, seconds: float) -> None: ...


class Certificates:
    """Follows the directory. `context` is for the listener; each handshake gets what is current then."""

    def __init__(self, directory: Path, clock: Calendar) -> None:
        self._directory = directory
        self._clock = clock
        self._known: tuple[bytes, bytes] | None = None
        self._current: ssl.SSLContext | None = None
        self._trouble = ""
        self.ends: datetime | None = None
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # A whole context is exchanged, not the chain in it: one that does not fit would ruin the one in use.
        self.context.sni_callback = self._choose

    def unready(self) -> str:
        """Why nobody can be served, or nothing."""
        if self._current is None or self.ends is None:
            return self._trouble or "no certificate yet"
        if self.ends <= self._clock.date(self._clock.now()):
            return f"the certificate ended on {self.ends:%Y-%m-%d %H:%M:%S} UTC"
        return ""

    def look(self) -> None:
        """Take what lies in the directory, if it is new and good; else keep what there is, and say so."""
        try:
            pair = self._read()
            if pair == self._known:
                return
            fresh = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            # The password: without it, OpenSSL would ask the terminal for that of an encrypted key.
            fresh.load_cert_chain(self._directory / CERTIFICATE, self._directory / KEY, password="")
            self.ends = not_after(pair[0])
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            self._tell(f"no usable certificate in {self._directory}: {error}")
            return
        self._current, self._known, self._trouble = fresh, pair, ""
        log.info("the certificate is new, and good until %s UTC", f"{self.ends:%Y-%m-%d %H:%M:%S}")

    async def follow(self) -> None:
        while True:
            self.look()
            await self._clock.sleep(LOOK_EVERY_S)

    def _read(self) -> tuple[bytes, bytes]:
        return (self._directory / CERTIFICATE).read_bytes(), (self._directory / KEY).read_bytes()

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            # Before the first it may be on its way; the page /readyz says what is missing.
            level = logging.INFO if self._current is None else logging.WARNING
            log.log(level, "%s%s", trouble, "; the last good one stays" * (self._current is not None))
        self._trouble = trouble

    def _choose(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> int | None:
        if self._current is None:
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        connection.context = self._current
        return None
