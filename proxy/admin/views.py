"""What the pages show of one service, read off its pool at the moment of asking."""

from collections.abc import Mapping
from typing import Any

from proxy.clock import SystemClock
from proxy.config import ServiceSettings, StaticTarget
from proxy.model import Address, Exchange
from proxy.observe.metrics import EndpointRow, Snapshot
from proxy.policy.endpoint import Endpoint
from proxy.policy.servers import Trouble
from proxy.pool import Heard, Picked, Pool
from proxy.pool.tiers import DOUBTFUL, name_of

PANICS = {
    "none_usable": "none was usable",
    "threshold": "too few were usable",
    "all_failed": "all failed together",
}


def snapshot(settings: ServiceSettings, pool: Pool) -> Snapshot:
    """What /metrics needs of this service; `pool.counters` are up to date."""
    return Snapshot(
        settings.name,
        pool.counters,
        _rows(pool.endpoints),
        {state.value: count for state, count in pool.states().items()},
        _answer_age_s(settings, pool),
    )


def overview(settings: ServiceSettings, pool: Pool, listens_on: str, now: float) -> dict[str, Any]:
    """This service as /endpoints shows it."""
    whole = sum(recent(each, now) for each in pool.endpoints)
    spares = settings.spare_connections != 0
    return {
        "service": settings.name,
        "target": str(settings.target),
        "listen": listens_on,
        "balancer": settings.balancer,
        "membership": pool.membership.reason,
        "answer_age_seconds": _answer_age_s(settings, pool),
        "states": {state.value: count for state, count in pool.states().items() if count},
        "endpoints": [
            _endpoint(each, held=each.identity in pool.held, now=now, whole=whole, spares=spares)
            for each in sorted(pool.endpoints, key=lambda each: each.identity)
        ],
    }


def why(settings: ServiceSettings, pool: Pool, clock: SystemClock) -> dict[str, Any]:
    """The last connections of this service, the newest first: who got each, who could have, who could not."""
    return {
        "service": settings.name,
        "balancer": settings.balancer,
        "picks": [_picked(each, clock) for each in reversed(pool.picked)],
    }


def _picked(each: Picked, clock: SystemClock) -> dict[str, Any]:
    pick = each.chosen.pick
    despite = [f"{reason}: {why}" for endpoint, reason, why in each.field.others if endpoint is pick.endpoint]
    return {
        "time": clock.date(each.at).isoformat(timespec="milliseconds"),
        "endpoint": pick.endpoint.label,
        "tried": [endpoint.label for endpoint in each.tried],
        "usable": each.field.usable,
        "excluded": [
            {"endpoint": endpoint.label, "reason": reason, "why": why}
            for endpoint, reason, why in each.field.others
            if endpoint is not pick.endpoint and not _joins_in(endpoint, reason, each)
        ],
        "panic": each.field.panic,
        "from": _origin(each),
        "despite": "".join(despite),
        "scores": [{"endpoint": other.label, "score": round(score, 6)} for other, score in pick.scores],
        "note": pick.note,
    }


def _joins_in(endpoint: Endpoint, reason: str, each: Picked) -> bool:
    """Whether it was used like a well one, as too few of those were left."""
    all_do = each.field.panic == "none_usable" or endpoint.priority == each.chosen.tier
    return bool(each.field.panic) and all_do and reason != "not in DNS"


def _origin(each: Picked) -> str:
    """From among whom it was chosen."""
    tier, panic = each.chosen.tier, each.field.panic
    if panic and tier < DOUBTFUL:
        return f"panic, as {PANICS[panic]}: all of priority {tier} are used"
    return name_of(tier)


def dns(
    settings: ServiceSettings, pool: Pool, servers: Mapping[Address, Trouble | None], clock: SystemClock
) -> dict[str, Any]:
    """What DNS said of this service lately, the newest first, and what was made of it."""
    return {
        "service": settings.name,
        "target": str(settings.target),
        "answer_age_seconds": _answer_age_s(settings, pool),
        "membership": pool.membership.reason,
        "servers": [
            {"server": str(server), "failures": trouble.times, "result": trouble.result}
            if trouble
            else {"server": str(server), "failures": 0, "result": "ok"}
            for server, trouble in servers.items()
        ],
        "answers": [_answer(each, clock) for each in reversed(pool.roster.history)],
    }


def _answer(each: Heard, clock: SystemClock) -> dict[str, Any]:
    return {
        "time": clock.date(each.at).isoformat(timespec="milliseconds"),
        "answer": each.answer,
        "decision": each.decision,
        "reason": each.reason,
        "added": each.added,
        "removed": each.removed,
        "queries": [_query(exchange) for exchange in each.exchanges],
    }


def _query(exchange: Exchange) -> dict[str, Any]:
    fields = exchange._asdict()
    return {
        "name": fields.pop("name"),
        "type": fields.pop("qtype"),
        "duration_seconds": round(fields.pop("seconds"), 6),
        **fields,
    }


def _rows(endpoints: list[Endpoint]) -> list[EndpointRow]:
    """One row for each address: a pod that took over another one's may still stand beside it."""
    rows: dict[str, EndpointRow] = {}
    for each in endpoints:
        before = rows.get(each.label, EndpointRow(each.label, 0, 0))
        rows[each.label] = EndpointRow(
            each.label, before.in_flight + each.in_flight, before.picks + each.picks
        )
    return list(rows.values())


def _endpoint(each: Endpoint, *, held: bool, now: float, whole: int, spares: bool) -> dict[str, Any]:
    """`whole`: how often any endpoint was picked within the last minute. `spares`: whether any is kept."""
    latency = each.latency.read(now)
    shown: dict[str, Any] = {
        "endpoint": each.label,
        "state": each.state,
        "reason": each.why,
        "connections_active": each.in_flight,
        **({"spares": each.spares} if spares else {}),
        "picks": each.picks,
        "share_last_minute": round(recent(each, now) / whole, 4) if whole else None,
        "latency_seconds": None if latency is None else round(latency, 6),  # the peak, on its way down
    }
    if latency is not None and each.latency.is_penalty(now):
        shown["latency_is_penalty"] = True  # for failures: nobody waited so long
    if each.ramp < 1:
        shown["slow_start"] = each.ramp  # what part of its share it gets already
    if each.identity.name:
        shown |= {"name": each.identity.name, "priority": each.priority, "weight": round(each.weight, 4)}
    if each.other is not None:
        shown["other_address"] = str(each.other)
    if held:
        shown["held"] = True  # DNS does not list it: used only while it proves alive
    return shown


def recent(each: Endpoint, now: float) -> int:
    """How often it was picked within the last minute."""
    return 0 if each.recent_picks is None else each.recent_picks.total(now)


def _answer_age_s(settings: ServiceSettings, pool: Pool) -> float | None:
    return None if isinstance(settings.target, StaticTarget) else pool.answer_age_s()
