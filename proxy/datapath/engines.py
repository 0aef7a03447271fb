"""Chooses which relay moves the bytes: the native one where it is built, else asyncio's."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial

from proxy.config import PREFIX, RelayKind, Settings
from proxy.datapath.relay import Relay, Timeouts
from proxy.datapath.relay_asyncio import AsyncioRelay
from proxy.errors import Fault, SettingsError
from proxy.model import Clock
from proxy.observe.counters import ServiceCounters

MakeRelay = Callable[[Timeouts, ServiceCounters], Relay]

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
    if wanted is RelayKind.NATIVE:
        raise SettingsError([Fault(PREFIX + "RELAY", wanted, NOT_BUILT)])
    return RelayKind.ASYNCIO


def remark(wanted: RelayKind) -> str:
    """What to say where asyncio's relay does the work only because there is no other."""
    if wanted is not RelayKind.AUTO or is_built():
        return ""
    return f"{NOT_BUILT}; asyncio's does its work, at a higher price"


def start(settings: Settings, clock: Clock, cleanup: AsyncExitStack) -> MakeRelay:
    """What makes the relay of a service."""
    if chosen(settings.relay) is RelayKind.ASYNCIO:
        return lambda timeouts, counters: AsyncioRelay(timeouts, counters, clock)
    from proxy.datapath.relay_native import NativeEngine, NativeRelay

    engine = NativeEngine(settings.relay_threads, spin=settings.relay_spin)
    cleanup.callback(engine.close)
    return partial(NativeRelay, engine)


def is_built() -> bool:
    try:
        from proxy.datapath.native import _relay
    except ImportError:
        return False
    return bool(_relay)
