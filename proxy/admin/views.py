"""What the pages show of one service, read off its pool at the moment of asking."""

from typing import Any

from proxy.config import DnsTarget, ServiceSettings
from proxy.observe.metrics import EndpointRow, Snapshot
from proxy.pool import Pool


def snapshot(settings: ServiceSettings, pool: Pool) -> Snapshot:
    """What /metrics needs of this service; `pool.counters` are up to date."""
    return Snapshot(
        settings.name,
        pool.counters,
        [EndpointRow(each.label, each.in_flight, each.picks) for each in pool.endpoints],
        {state.value: count for state, count in pool.states().items()},
        _answer_age_s(settings, pool),
    )


def overview(settings: ServiceSettings, pool: Pool, listens_on: str) -> dict[str, Any]:
    """This service as /endpoints shows it."""
    return {
        "service": settings.name,
        "target": str(settings.target),
        "listen": listens_on,
        "balancer": settings.balancer,
        "membership": pool.reason,
        "answer_age_seconds": _answer_age_s(settings, pool),
        "states": {state.value: count for state, count in pool.states().items() if count},
        "endpoints": [
            {
                "endpoint": each.label,
                "state": each.state,
                "connections_active": each.in_flight,
                "picks": each.picks,
            }
            for each in sorted(pool.endpoints, key=lambda each: each.address)
        ],
    }


def _answer_age_s(settings: ServiceSettings, pool: Pool) -> float | None:
    return pool.answer_age_s() if isinstance(settings.target, DnsTarget) else None
