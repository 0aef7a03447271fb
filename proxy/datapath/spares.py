"""Keeps idle connections to the pods of one service, as many as are wanted, and hands out the newest."""

import asyncio
import logging

from proxy.config import ServiceSettings
from proxy.datapath.slots import SharedSlots
from proxy.datapath.sockets import Tuning
from proxy.datapath.spare import Spare, Stock
from proxy.datapath.vigil import Vigil
from proxy.errors import ConnectError
from proxy.model import Address, Clock, Rng
from proxy.policy import spares
from proxy.policy.endpoint import Endpoint
from proxy.policy.spares import Manners, Patience
from proxy.pool import Pool

log = logging.getLogger("headway.spares")

FOLLOW_S = 0.05  # states change in swarms
LOOK_S = 1.0  # whether the process has room again, which nobody tells


class Spares:
    """A failed dial moves no traffic: it asks for a check and for DNS, which decide. Nor does one that works
    bring an endpoint back.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        pool: Pool,
        slots: SharedSlots,
        tuning: Tuning,
        clock: Clock,
        rng: Rng,
    ) -> None:
        self._name = settings.name
        self._number = settings.spare_connections  # None: as many as are needed
        self._max_age_s = settings.spare_max_age_s
        self._most = settings.max_connections_per_endpoint
        self._pool = pool
        self._counters = pool.counters
        self._slots = slots
        self._clock = clock
        self._rng = rng
        self._manners = Manners()
        self._patience = Patience()
        self._stocks: dict[Endpoint, Stock] = {}
        self._untended: dict[Stock, None] = {}
        self._follows = self._lacks_room = self._closed = False
        self._vigil = Vigil(self, tuning, settings.connect_timeout_s, clock)
        self._loop = asyncio.get_running_loop()
        pool.on_states_changed = self._follow_soon
        slots.keepers.append(self)

    # --- what the relay asks and tells ------------------------------------------------------------

    def take(self, endpoint: Endpoint, address: Address) -> Spare | None:
        """A connection to this address of it, the socket the caller's; None where one has to be made."""
        now = self._clock.now()
        stock = self._stock(endpoint)
        if self._number is None:
            stock.demand.came(now, stock.dial_s, self._lifetime_s(now))
        self._vigil.hear()
        spare = self._newest(stock, address, now)
        if spare is not None:
            self._forget(spare, "used")
            stock.failures = 0
        elif self._most:
            self._make_room(stock)
        self._tend_soon(stock)
        return spare

    def raced(self, endpoint: Endpoint) -> None:
        """The pod had ended one that was taken, before a byte flowed."""
        self._counters.spares_ended["raced"] += 1
        if endpoint in self._stocks:
            self._pause(self._stocks[endpoint])

    def heard(self, unasked: bool) -> None:
        """The pod of a session sent its first byte; whether before its client had said anything."""
        self._manners.heard(unasked)

    def released(self, endpoint: Endpoint) -> None:
        """A connection to it has ended: there may be room for a spare."""
        if self._most and endpoint in self._stocks:
            self._tend_soon(self._stocks[endpoint])

    def close(self) -> None:
        """The process ends."""
        if self._closed:
            return
        self._closed = True
        for stock in self._stocks.values():
            self._drop_all(stock)
        self._vigil.close()

    # --- what the vigil tells -------------------------------------------------------------------

    def connected(self, spare: Spare) -> None:
        now, stock = self._clock.now(), spare.stock
        stock.note_dial(spare.connect_s)
        if stock.closed_after_s is not None:  # and lives: it was for being idle
            if self._patience.learn(stock.closed_after_s, now):
                age = f"{stock.closed_after_s:.3g} s"
                log.info("%s: a pod closed an idle connection after %s: none gets so old", self._name, age)
            stock.closed_after_s = None
        spare.expires_at = now + spares.age_s(self._lifetime_s(now), self._rng)
        del stock.dialling[spare]
        stock.idle.append(spare)
        self._count(stock, 1)

    def failed(self, spare: Spare, error: ConnectError) -> None:
        self._drop(spare, "failed")
        self._unreached(spare.stock, error)

    def ended(self, spare: Spare, result: str = "closed") -> None:
        stock, age_s = spare.stock, self._clock.now() - spare.dialled_at
        self._drop(spare, result)
        if age_s < spares.YOUNG_S:
            self._pause(stock)
        else:
            stock.closed_after_s = min(age_s, stock.closed_after_s or age_s)
        self._tend_soon(stock)

    def spoke(self, spare: Spare) -> None:
        """A greeting, or out of order: as long as nobody knows, it is neither used nor dropped."""
        spare.spoke = True
        if self._manners.pod_first is False:
            self.ended(spare, "spoken")

    def expired(self, spare: Spare) -> None:
        spare.stock.failures = 0
        self._drop(spare, "expired")
        self._tend_soon(spare.stock)

    # --- one less -------------------------------------------------------------------------------

    def _newest(self, stock: Stock, address: Address, now: float) -> Spare | None:
        """So the others age, and are not replaced where so many are not needed."""
        if not stock.is_fit or stock.is_doubtful(now):
            return None
        born_after = now - self._lifetime_s(now)  # which may be shorter now
        while stock.idle:
            spare = stock.idle[-1]
            if now >= spare.expires_at or spare.dialled_at <= born_after:
                self._drop(spare, "expired")
            elif spare.address != address or not stock.is_of_use(spare):
                self._drop(spare, "dropped")
            else:
                return spare if self._manners.pod_first or not spare.spoke else None
        return None

    def _make_room(self, stock: Stock) -> None:
        """For a connection with which the endpoint would have one too many."""
        while stock.size and stock.endpoint.in_flight + stock.size > self._most:
            self._drop(next(iter(stock.dialling), None) or stock.idle[0], "dropped")

    @property
    def held(self) -> int:
        return len(self._vigil)

    def give_up_oldest(self) -> None:
        oldest = self._vigil.oldest
        self._drop(oldest, "dropped")
        self._tend_soon(oldest.stock)

    def _drop(self, spare: Spare, result: str) -> None:
        self._forget(spare, result)
        spare.sock.close()

    def _forget(self, spare: Spare, result: str) -> None:
        stock = spare.stock
        self._vigil.forget(spare)
        self._slots.spares -= 1
        self._counters.spares_ended[result] += 1
        if spare in stock.dialling:
            del stock.dialling[spare]
        else:
            stock.idle.remove(spare)
            self._count(stock, -1)

    def _count(self, stock: Stock, more: int) -> None:
        stock.endpoint.spares += more
        self._counters.spares += more

    def _drop_all(self, stock: Stock) -> None:
        for spare in (*stock.dialling, *stock.idle):
            self._drop(spare, "dropped")

    def _drop_useless(self, stock: Stock) -> None:
        for spare in [each for each in stock.idle if not stock.is_of_use(each)]:
            self._drop(spare, "dropped")
        if self._manners.pod_first is False:
            for spare in [each for each in stock.idle if each.spoke]:
                self.ended(spare, "spoken")

    # --- as many as are wanted ------------------------------------------------------------------

    def _lifetime_s(self, now: float) -> float:
        return self._patience.lifetime_s(self._max_age_s, now)

    def _stock(self, endpoint: Endpoint) -> Stock:
        stock = self._stocks.get(endpoint)
        if stock is None:
            stock = self._stocks[endpoint] = Stock(endpoint)
        return stock

    def _follow_soon(self) -> None:
        if not (self._follows or self._closed):
            self._follows = True
            self._loop.call_later(FOLLOW_S, self._follow)

    def _follow(self) -> None:
        """Endpoints have come, gone or changed."""
        self._follows = False
        if self._number is not None:
            now = self._clock.now()
            for endpoint in self._pool.active:
                if endpoint not in self._stocks:
                    self._stock(endpoint).pause_until = now + spares.SPREAD_S * self._rng.random()
        for stock in list(self._stocks.values()):
            self._tend(stock)

    def _tend_soon(self, stock: Stock) -> None:
        """Once this turn of the loop is over: whoever takes one does not wait for the next one's dial."""
        if not self._untended:
            self._loop.call_soon(self._tend_all)
        self._untended[stock] = None

    def _tend_all(self) -> None:
        untended, self._untended = self._untended, {}
        for stock in untended:
            self._tend(stock)

    def _tend(self, stock: Stock) -> None:
        """Drop what is of no use, and dial what is missing, now or later."""
        if stock.timer is not None:
            stock.timer.cancel()
            stock.timer = None
        if self._closed:
            return
        now = self._clock.now()
        if not stock.is_fit:
            self._drop_all(stock)
            stock.pause_until = max(stock.pause_until, now + spares.SPREAD_S * self._rng.random())
            if stock.endpoint.gone_at is not None:
                self._stocks.pop(stock.endpoint, None)
            return
        self._drop_useless(stock)
        number = self._number
        if number is None:
            number = stock.demand.needed(now, self._lifetime_s(now))
        room, in_flight = self._slots.left, stock.endpoint.in_flight
        missing = spares.missing(number, stock.size, in_flight, self._most, room)
        if missing and now < stock.pause_until:
            stock.timer = self._loop.call_later(stock.pause_until - now, self._tend, stock)
        else:
            self._dial(stock, missing)
            if stock.size < number and self._slots.left <= 0 and not self._lacks_room:
                self._lacks_room = True
                self._loop.call_later(LOOK_S, self._look_for_room)

    def _look_for_room(self) -> None:
        """One look for all that would dial: of a thousand endpoints most may be without for ever."""
        self._lacks_room = not self._closed and self._slots.left <= 0
        if self._lacks_room:
            self._loop.call_later(LOOK_S, self._look_for_room)
            return
        for stock in list(self._stocks.values()):
            self._tend(stock)

    def _dial(self, stock: Stock, count: int) -> None:
        for _ in range(count):
            try:
                spare = self._vigil.dial(stock)
            except ConnectError as error:
                self._counters.spares_ended["failed"] += 1
                self._unreached(stock, error)
                return
            stock.dialling[spare] = None
            self._slots.spares += 1

    def _unreached(self, stock: Stock, error: ConnectError) -> None:
        log.debug("%s: no spare to %s: %s", self._name, stock.endpoint.label, error)
        stock.closed_after_s = None
        if error.source == "upstream":
            self._drop_all(stock)  # they were dialled in better times
            self._pool.on_suspect(stock.endpoint)
            self._pool.request_resolve()
        self._pause(stock)
        self._tend_soon(stock)

    def _pause(self, stock: Stock) -> None:
        """Once for all that fail together."""
        now = self._clock.now()
        if now >= stock.pause_until:
            stock.failures += 1
            stock.pause_until = now + spares.pause_s(stock.failures, self._rng)
