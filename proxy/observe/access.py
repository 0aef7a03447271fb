"""The access log: one line for each connection that ended, or only for those that failed."""

import logging

import msgspec

from proxy.config import AccessLog
from proxy.model import EndReason

log = logging.getLogger("headway.access")

NOT_A_FAILURE = frozenset(
    {
        EndReason.COMPLETED,
        EndReason.CLIENT_RESET,
        EndReason.IDLE_TIMEOUT,
        EndReason.MAX_AGE,
        EndReason.REBALANCED,
        EndReason.DRAINED,
    }
)


class AccessRecord(msgspec.Struct):
    """One connection as the access log tells it: of the last pod that was tried, if any was."""

    service: str
    outcome: str
    ended_by: str
    detail: str
    endpoint: str = ""
    identity: str = ""  # the pod's own name, where DNS gives it
    attempts: int = 0
    connect_ms: float | None = None  # of a pod that accepted
    spare: bool = False  # whether its connection was there before
    to_pod: int = 0
    from_pod: int = 0


def is_wanted(outcome: str, what: AccessLog) -> bool:
    """Whether a connection that ended so has a line: if `what` asks for it, and with LOG_LEVEL=debug."""
    return log.isEnabledFor(_level(outcome, what))


def write(record: AccessRecord, seconds: float, what: AccessLog) -> None:
    fields = {**msgspec.structs.asdict(record), "seconds": round(seconds, 6)}
    log.log(_level(record.outcome, what), "connection %s", record.outcome, extra={"fields": fields})


def _level(outcome: str, what: AccessLog) -> int:
    wanted = what is AccessLog.ALL or (what is AccessLog.FAILURES and outcome not in NOT_A_FAILURE)
    return logging.INFO if wanted else logging.DEBUG
