"""What `headway endpoints` and `headway why` print: tables of what a running sidecar says of itself."""

import contextlib
import json
import socket
import sys
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Any

from rich.console import Console
from rich.table import Table

from proxy.config import Listen
from proxy.errors import HeadwayError

ANSWER_WITHIN_S = 5.0
COUNTS = "picks", "share", "peak latency"
UNLIMITED = 1_000


class NoAnswer(HeadwayError):
    """There is no sidecar at that address, or it answers something else."""


def endpoints(admin: Listen) -> None:
    """Print a line for each endpoint. Raises NoAnswer."""
    services = _ask(admin, "/endpoints")
    named = any("name" in each for service in services for each in service["endpoints"])
    spared = any("spares" in each for service in services for each in service["endpoints"])
    columns = (
        "service",
        "endpoint",
        *["name"] * named,
        "state",
        "open",
        *["spares"] * spared,
        *COUNTS,
        "reason",
    )
    table = Table(*columns, box=None)
    for service in services:
        for each in service["endpoints"]:
            name = [each.get("name", "").partition(".")[0]] * named
            spares = [str(each.get("spares", ""))] * spared
            table.add_row(
                *(service["service"], each["endpoint"], *name, each["state"]),
                *(str(each["connections_active"]), *spares, str(each["picks"])),
                *(_share(each["share_last_minute"]), _latency(each), each["reason"]),
            )
    _print(table)


def why(admin: Listen, most: int) -> None:
    """Print a line for each of the last connections, the newest last. Raises NoAnswer."""
    table = Table("time", "service", "endpoint", "tried", "compared", "because", box=None)
    picks = [
        (each["time"], service["service"], each)
        for service in _ask(admin, "/why")
        for each in service["picks"]
    ]
    for time, service, each in sorted(picks, key=lambda pick: pick[0])[-most:]:
        compared = sorted(each["scores"], key=lambda score: score["endpoint"] != each["endpoint"])
        scores = [f"{score['endpoint']} {score['score']:g}" for score in compared]
        excluded = [f"not {other['endpoint']}: {other['reason']}" for other in each["excluded"]]
        despite = each.get("despite") and f"it is {each['despite']}"
        because = "; ".join(filter(None, [each["from"], despite, each["note"], *excluded]))
        table.add_row(
            time[11:23], service, each["endpoint"], ", ".join(each["tried"]), ", ".join(scores), because
        )
    _print(table)


def _print(table: Table) -> None:
    """Lines as long as they are when it is not a terminal: grep and awk read those."""
    limit = None if sys.stdout.isatty() else UNLIMITED
    Console(markup=False, width=limit, height=limit).print(table)  # [fd00::1]:80 is no markup


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


def _latency(endpoint: dict[str, Any]) -> str:
    """The longest wait lately, on its way down; a word where failures made it what it is."""
    seconds: float | None = endpoint["latency_seconds"]
    if endpoint.get("latency_is_penalty"):
        return "penalty"
    return "" if seconds is None else f"{seconds * 1000:.1f} ms"


def _ask(admin: Listen, path: str) -> Any:
    """The services in what the page says."""
    try:
        return _get(admin, path)["services"]
    except (OSError, HTTPException, ValueError, KeyError) as error:
        raise NoAnswer(f"no admin page at {admin}: {error}. Is the sidecar running?") from None


def _get(admin: Listen, path: str) -> Any:
    address = admin.host or "127.0.0.1", admin.port
    with contextlib.closing(HTTPConnection(*address, timeout=ANSWER_WITHIN_S)) as connection:
        if admin.path:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(ANSWER_WITHIN_S)
            connection.sock.connect(admin.path)
        connection.request("GET", path)
        with connection.getresponse() as response:
            if response.status != HTTPStatus.OK:
                raise HTTPException(f"it answers {response.status} {response.reason}")
            return json.load(response)
