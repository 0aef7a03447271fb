"""What became of the last answers, for people who want to know why."""

from collections.abc import Collection

import msgspec

from proxy.model import Answer, Exchange, Identity
from proxy.policy.membership import Membership

LENGTH = 50
NAMED = 10  # endpoints mentioned one by one


class Heard(msgspec.Struct, frozen=True):
    """One answer: the queries that made it, and what was decided. `at` is on the pool's clock."""

    at: float
    answer: str
    exchanges: tuple[Exchange, ...]
    decision: str
    reason: str
    added: str
    removed: str


def heard(
    at: float, answer: Answer, after: Membership, added: Collection[Identity], removed: Collection[Identity]
) -> Heard:
    return Heard(at, str(answer), answer.exchanges, after.decision, after.reason, some(added), some(removed))


def kind_of(membership: Membership) -> str:
    """Its reason without the numbers: the same kind of thing is not worth a line each time."""
    return "".join(letter for letter in membership.reason if not letter.isdigit())


def some(endpoints: Collection[Identity]) -> str:
    """Their names, or how many more there are than can be read."""
    if len(endpoints) <= NAMED:
        return ", ".join(map(str, sorted(endpoints)))
    return f"{', '.join(map(str, sorted(endpoints)[:NAMED]))} and {len(endpoints) - NAMED} more"
