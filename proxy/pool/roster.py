"""Knows who is in the service: turns answers into endpoints, and remembers those that left."""

import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping, Set

from proxy.model import Address, Answer, AnswerKind, Clock, Identity
from proxy.observe.seldom import Seldom
from proxy.policy.endpoint import Endpoint
from proxy.policy.health import Health, Status
from proxy.policy.membership import Membership, Trust, decide, without
from proxy.pool.history import LENGTH, Heard, heard, kind_of, some

log = logging.getLogger("headway.pool")

FORGET_AFTER_S = 60.0  # how long an endpoint that left discovery keeps its history, should it come back


class Roster:
    """`checked`: whether a newcomer waits for a passed check."""

    def __init__(self, name: str, trust: Trust, checked: bool, clock: Clock) -> None:
        self.membership = Membership()
        self.members: tuple[Endpoint, ...] = ()  # its endpoints
        self.last_good_at: float | None = None  # when discovery last learned something
        self.history: deque[Heard] = deque(maxlen=LENGTH)
        self.on_replaced: Callable[[Endpoint], None] = lambda endpoint: None  # another pod has its address
        self.on_joined: Callable[[Endpoint], None] = lambda endpoint: None  # and may be used at once

        self._name = name
        self._trust = trust
        self._checked = checked
        self._clock = clock
        self._seldom = Seldom(clock)
        self._known: dict[Identity, Endpoint] = {}  # members, and those that still have leases or history
        self._first_answer = False  # whether endpoints come that have no peers yet, or only just got them

    @property
    def endpoints(self) -> list[Endpoint]:
        """Members, and those gone that still have connections."""
        return [each for each in self._known.values() if each.gone_at is None or each.in_flight]

    def apply(self, answer: Answer) -> bool:
        """Let the membership follow `answer`, as far as policy lets it; whether there is something new."""
        now = self._clock.now()
        if answer.kind is not AnswerKind.FAILED:
            self.last_good_at = now
        before = self.membership
        failing = {each.identity for each in self.members if each.failing}
        after = decide(before, answer, failing, self._trust, now)
        added = after.members.keys() - before.members.keys()
        removed = before.members.keys() - after.members.keys()
        if not before.members:
            self._first_answer = True
        changed = self._change(after, added, removed)
        self._first_answer &= answer.partial
        if not answer.partial:
            self.history.append(heard(now, answer, after, added, removed))
        if added or removed:
            self._tell(added, removed, answer)
        elif after.reason != before.reason and (more := self._seldom.may_say(kind_of(after))) is not None:
            level = logging.INFO if answer.is_whole and not self.membership.held else logging.WARNING
            log.log(level, "%s: answer %s: %s%s", self._name, answer, after.reason, more)
        return changed

    def drop(self, endpoint: Endpoint) -> None:
        """`endpoint`, which DNS does not list, failed: it leaves."""
        after = without(self.membership, endpoint.identity)
        self._change(after, frozenset(), {endpoint.identity})
        log.warning("%s: %s", self._name, after.reason)

    def _change(self, after: Membership, added: Set[Identity], removed: Set[Identity]) -> bool:
        before, self.membership = self.membership, after
        for identity in removed:
            self._known[identity].gone_at = self._clock.now()
        for identity in added:
            self._add(identity)
        self._follow(before, after)
        self._forget(self._clock.now())
        if added or removed:
            self.members = tuple(self._known[identity] for identity in after.members)
        return after.members != before.members or after.held != before.held

    def _follow(self, before: Membership, after: Membership) -> None:
        """Take over what the answer says of each member; whose its addresses were has lost them."""
        named: dict[Address, Identity] = {}
        for identity, listed in after.members.items():
            if before.members.get(identity) is not listed:
                self._known[identity].follow(listed)
                if identity.name:
                    named.update(dict.fromkeys(self._known[identity].addresses, identity))
        if named:
            self._replace(named)

    def _add(self, identity: Identity) -> None:
        # Endpoints that come all at once have no proven peer to be preferred to: they are used at once.
        status = Status.ASSUMED if self._first_answer or not self._checked else Status.UNCHECKED
        endpoint = self._known.get(identity)
        if endpoint is None or endpoint.replaced:
            endpoint = self._known[identity] = Endpoint(identity, Health(status))
        endpoint.gone_at, endpoint.health, endpoint.alive = None, Health(status), None
        if not self._first_answer and status is Status.ASSUMED:
            self.on_joined(endpoint)

    def _replace(self, newcomers: Mapping[Address, Identity]) -> None:
        """End what another pod's predecessors at its address still have: it would talk to the wrong pod."""
        for endpoint in self._known.values():
            if endpoint.gone_at is None or endpoint.replaced:
                continue
            newcomer = next(filter(None, map(newcomers.get, endpoint.addresses)), None)
            if newcomer is not None and newcomer.name != endpoint.identity.name:
                endpoint.replaced = True
                log.warning("%s: %s is now %s", self._name, endpoint.identity, newcomer)
                self.on_replaced(endpoint)

    def _forget(self, now: float) -> None:
        for identity in self._known.keys() - self.membership.members.keys():
            endpoint = self._known[identity]
            gone = endpoint.gone_at is not None and now - endpoint.gone_at > FORGET_AFTER_S
            if (gone or endpoint.replaced) and not endpoint.in_flight:
                del self._known[identity]

    def _tell(self, added: Collection[Identity], removed: Collection[Identity], answer: Answer) -> None:
        parts = [f"{verb} {some(who)}" for verb, who in (("added", added), ("removed", removed)) if who]
        level = logging.INFO if answer.kind is AnswerKind.ENDPOINTS else logging.WARNING
        log.log(level, "%s: %s (answer %s: %s)", self._name, "; ".join(parts), answer, self.membership.reason)
