"""Chooses which relay moves the bytes: the native one where it is built, else asyncio's."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import NamedTuple

from proxy.config import PREFIX, RelayKind, ServiceSettings, Settings
from proxy.datapath.connector import Connector
from proxy.datapath.listener import Accept, accept
from proxy.datapath.relay import Relay, Timeouts
from proxy.datapath.slots import SharedSlots
from proxy.datapath.sockets import Tuning
from proxy.errors import Fault, SettingsError
from proxy.model import Clock, Rng
from proxy.observe.counters import ServiceCounters
from proxy.pool import Pool


class Engine(NamedTuple):
    """What moves the bytes of a process."""

    make_relay: Callable[[Timeouts, Tuning, ServiceCounters], Relay]
    accept: Accept


NOT_BUILT = (
    "the native relay is not built here: it needs a C compiler and Python's headers when Headway is "
    "installed (Debian: gcc python3-dev; then, in its source, pip install --force-reinstall --no-deps .)"
)


def chosen(wanted: RelayKind) -> RelayKind:
    """The native one or asyncio's. Raises SettingsError when the wanted one is not there."""
    if wanted is RelayKind.ASYNCIO:
        return wanted
    if is_built():
        return RelayKind.NATIVE
    if problem := problem_with(wanted):
        raise SettingsError([Fault(PREFIX + "RELAY", wanted, problem)])
    return RelayKind.ASYNCIO


def problem_with(wanted: RelayKind) -> str:
    """Why it cannot be had here, if so."""
    return NOT_BUILT if wanted is RelayKind.NATIVE and not is_built() else ""


def remark(wanted: RelayKind) -> str:
    """What to say where asyncio's relay does the work only because there is no other."""
    if wanted is not RelayKind.AUTO or is_built():
        return ""
    return f"{NOT_BUILT}; asyncio's does its work, at a higher price"


def start(settings: Settings, clock: Clock, cleanup: AsyncExitStack) -> Engine:
    if chosen(settings.relay) is RelayKind.ASYNCIO:
        from proxy.datapath.relay_asyncio import AsyncioRelay

        return Engine(
            lambda timeouts, tuning, counters: AsyncioRelay(timeouts, Connector(tuning), counters, clock),
            accept,
        )
    from proxy.datapath.native import _relay
    from proxy.datapath.relay_native import NativeEngine, NativeRelay

    engine = NativeEngine(settings.relay_threads, spin=settings.relay_spin)
    cleanup.callback(engine.close)
    return Engine(partial(NativeRelay, engine), lambda listener: _relay.accept(listener.fileno()))


def with_spares(
    relay: Relay,
    settings: ServiceSettings,
    pool: Pool,
    slots: SharedSlots,
    tuning: Tuning,
    clock: Clock,
    rng: Rng,
) -> Relay:
    """The same for a service with SPARE_CONNECTIONS; who keeps none pays for none of it."""
    from proxy.datapath.relay_sparing import SparingRelay
    from proxy.datapath.spares import Spares

    return SparingRelay(relay, Spares(settings, pool, slots, tuning, clock, rng), clock)


def is_built() -> bool:
    try:
        from proxy.datapath.native import _relay
    except ImportError:
        return False
    return bool(_relay)
