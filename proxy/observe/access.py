"""The access log: one line for each connection that ended, or only for those that failed."""

import logging

import msgspec

from proxy.config import AccessLog
from proxy.model import EndReason

log = logging.getLogger("headway.access")

NOT_A_FAILURE = frozenset({EndReason.COMPLETED, EndReason.CLIENT_RESET, EndReason.IDLE_TIMEOUT})


class AccessRecord(msgspec.Struct):
    """One connection as the access log tells it; filled in while it happens."""

    service: str
    outcome: str = EndReason.ABORTED
    endpoint: str = ""
    attempts: int = 0
    to_pod: int = 0
    from_pod: int = 0
    ended_by: str = "proxy"
    detail: str = ""


def write(record: AccessRecord, seconds: float, what: AccessLog) -> None:
    """One line if `what` asks for it; at LOG_LEVEL=debug in any case."""
    wanted = what is AccessLog.ALL or (what is AccessLog.FAILURES and record.outcome not in NOT_A_FAILURE)
    level = logging.INFO if wanted else logging.DEBUG
    if log.isEnabledFor(level):
        fields = {**msgspec.structs.asdict(record), "seconds": round(seconds, 6)}
        log.log(level, "connection %s", record.outcome, extra={"fields": fields})
