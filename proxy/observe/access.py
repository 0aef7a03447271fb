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


def write(record: AccessRecord, seconds: float, what: AccessLog) -> None:
    if what is AccessLog.OFF or (what is AccessLog.FAILURES and record.outcome in NOT_A_FAILURE):
        return
    fields = {**msgspec.structs.asdict(record), "seconds": round(seconds, 6)}
    log.info("connection %s", record.outcome, extra={"fields": fields})
