"""Asks the sidecar of this container whether it is alive: the image's HEALTHCHECK, a cheap script.

It runs again and again inside the sidecar's memory limit. Kubernetes has probes of its own and ignores it.
"""

import os
import socket
import sys
from collections.abc import Mapping

WITHIN_S = 2.0
PAGES = {"HEADWAY_TELEMETRY_LISTEN": ":9902", "HEADWAY_ADMIN_LISTEN": "127.0.0.1:9901"}  # and the defaults
EVERY = ("", "0.0.0.0", "[::]")
ALIVE, DEAD = 0, 1


def main(environment: Mapping[str, str]) -> int:
    """The exit status. ALIVE too where nobody can be asked: both off, or at a port that the system chose."""
    for name, default in PAGES.items():
        listen = environment.get(name, default).strip().partition("?")[0]  # its options are for who listens
        if listen != "off" and not listen.endswith(":0"):
            return _ask(listen)
    return ALIVE


def _ask(listen: str) -> int:
    try:
        with _socket(listen) as page:
            page.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
            return ALIVE if b" 200 " in page.recv(64) else DEAD
    except OSError as error:
        print(f"{listen}: {error}")  # `docker inspect` shows it
        return DEAD


def _socket(listen: str) -> socket.socket:
    if not listen.startswith("unix:"):
        host, _, port = listen.rpartition(":")
        # Bytes: a name in text would import what knows of other alphabets.
        name = b"localhost" if host in EVERY else host.strip("[]").encode()
        return socket.create_connection((name, int(port)), WITHIN_S)  # type: ignore[arg-type]
    page = socket.socket(socket.AF_UNIX)
    page.settimeout(WITHIN_S)
    try:
        page.connect(listen.removeprefix("unix:"))
    except OSError:
        page.close()
        raise
    return page


if __name__ == "__main__":
    sys.exit(main(os.environ))  # noqa: TID251 - without the rest of the package
