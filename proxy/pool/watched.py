"""Runs a picker of the user's own: whatever goes wrong in it, the connection gets an endpoint, by p2c."""

import logging
from collections.abc import Sequence

from msgspec.structs import replace

from proxy.model import Rng
from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers import Factory, Pick, Picker, PickInfo
from proxy.policy.pickers.p2c import P2C

log = logging.getLogger("headway.pool")


class Watch:
    """Makes the pickers of one service, and says each kind of mistake once."""

    def __init__(self, factory: Factory, service: str, name: str) -> None:
        self._factory = factory
        self._service = service
        self._name = name
        self._said: set[str] = set()

    def __call__(self, endpoints: Sequence[Endpoint], rng: Rng, previous: Picker | None) -> Picker:
        before = previous.own if isinstance(previous, Watched) else None
        try:
            own = self._factory(endpoints, rng, before)
        except Exception as error:
            self.tell("could not be made", error)
            return P2C(endpoints, rng)
        return Watched(own, P2C(endpoints, rng), frozenset(endpoints), self)

    def tell(self, problem: str, error: Exception | None = None) -> str:
        """What to note; logged when it is new."""
        said = f"{self._name} {problem}"
        if problem not in self._said:
            self._said.add(problem)
            log.warning("%s: %s; p2c chooses instead", self._service, said, exc_info=error)
        return said


class Watched:
    """`own` is asked first; `instead` has the last word."""

    def __init__(self, own: Picker, instead: Picker, endpoints: frozenset[Endpoint], watch: Watch) -> None:
        self.own = own
        self._instead = instead
        self._endpoints = endpoints
        self._watch = watch

    def pick(self, info: PickInfo) -> Pick | None:
        error = None
        try:
            pick = self.own.pick(info)
            problem = self._problem(pick, info)
        except Exception as raised:
            error, problem = raised, f"raised {type(raised).__name__}"
        if not problem:
            return pick
        instead = self._instead.pick(info)
        return instead and replace(instead, note=self._watch.tell(problem, error))

    def _problem(self, pick: object, info: PickInfo) -> str:
        """Why this cannot be used; nothing if it can. That none is left to be found may be no mistake."""
        if pick is None:
            return "found no endpoint"
        if not isinstance(pick, Pick):
            return f"gave a {type(pick).__name__} instead of a Pick"
        if pick.endpoint not in self._endpoints:
            return "gave an endpoint that it was not given"
        return "gave an endpoint that was tried" if pick.endpoint in info.tried else ""
