"""The access log: one line for each connection that ended, or only for those that failed."""

import logging

import msgspec

from proxy.config import AccessLog

log = logging.getLogger("headway.access")

NOT_A_FAILURE = frozenset({"completed", "client_reset", "idle_timeout"})


class Story(msgspec.Struct):
    """One connection as the access log tells it; filled in while it happens."""

    service: str
    outcome: str = "aborted"
    endpoint: str = ""
    attempts: int = 0
    to_pod: int = 0
    from_pod: int = 0
    ended_by: str = "proxy"


def write(story: Story, seconds: float, what: AccessLog) -> None:
    if what is AccessLog.OFF or (what is AccessLog.FAILURES and story.outcome in NOT_A_FAILURE):
        return
    fields = {**msgspec.structs.asdict(story), "seconds": round(seconds, 6)}
    log.info("connection %s", story.outcome, extra={"fields": fields})
