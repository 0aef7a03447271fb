"""Connects to pods and notes who accepts, and who passes the check that is set."""

import asyncio
import math
from collections.abc import Sequence

from proxy.config import DnsTarget, HealthCheck, ServiceSettings
from proxy.controlpath.checks import Check, make_check
from proxy.datapath.connector import Connector
from proxy.datapath.sockets import Tuning
from proxy.doctor import near
from proxy.errors import CheckFailed, ConnectError, Refused
from proxy.model import Address

CHECKED_MOST = 24  # of a large Service, spread evenly
AGAIN_MOST = 3  # addresses that are checked anew with each look
PORT_CONNECTS = 12


class Knocks:
    """Of one service. `checks` has for each address why its connects failed, in order; "" is a success."""

    def __init__(self, timeout_s: float) -> None:
        self._connector = Connector(Tuning())
        self._timeout_s = timeout_s
        self.checks: dict[Address, list[str]] = {}

    async def knock(self, address: Address) -> str:
        """Why it does not accept a connection; nothing if it does."""
        try:
            await self._connector.check(address, self._timeout_s)
        except ConnectError as error:
            return error.reason
        return ""

    async def check(self, addresses: Sequence[Address]) -> None:
        """One connect to each of them, or to some when they are many."""
        step = math.ceil(len(addresses) / CHECKED_MOST) or 1
        await self._check(addresses[::step])

    async def check_again(self) -> None:
        """Those that have never accepted."""
        await self._check([address for address, reasons in self.checks.items() if all(reasons)][:AGAIN_MOST])

    async def _check(self, addresses: Sequence[Address]) -> None:
        reasons = await asyncio.gather(*(self.knock(address) for address in addresses))
        for address, reason in zip(addresses, reasons, strict=True):
            self.checks.setdefault(address, []).append(reason)

    async def health(self, settings: ServiceSettings) -> dict[Address, str]:
        """What is wrong with those that accept, by the check of HEALTH_CHECK; "" where nothing is.

        Nothing to ask where that is a mere connect, or off.
        """
        plain = settings.health_check is HealthCheck.TCP and settings.health_port is None
        if plain or settings.health_check is HealthCheck.OFF:
            return {}
        check = make_check(settings, self._connector.connect)
        accepting = [address for address, reasons in self.checks.items() if not all(reasons)]
        said = await asyncio.gather(*(self._ask(check, address) for address in accepting))
        return dict(zip(accepting, said, strict=True))

    async def _ask(self, check: Check, address: Address) -> str:
        try:
            await check(address, self._timeout_s)
        except CheckFailed as error:
            return str(error)
        except ConnectError as error:
            return error.reason
        return ""

    async def other_ports(self, target: DnsTarget, listed: Sequence[int]) -> dict[int, str]:
        """When most pods refuse: which other ports one of them, or a second one, accepts."""
        refusing = [each for each, reasons in self.checks.items() if reasons[0] == Refused.reason]
        if 2 * len(refusing) <= len(self.checks):
            return {}
        kept = 2 if len(refusing) > 1 else 0  # for the second pod
        wanted = near.ports(target.port, listed, PORT_CONNECTS - kept)
        found = await self._ports(refusing[0].ip, wanted)
        accepted = [port for port, reason in found.items() if not reason]
        for port, reason in (await self._ports(refusing[-1].ip, (accepted or wanted)[:kept])).items():
            found[port] = min(found[port], reason)  # accepted by either
        return found

    async def _ports(self, ip: str, ports: Sequence[int]) -> dict[int, str]:
        reasons = await asyncio.gather(*(self.knock(Address(ip, port)) for port in ports))
        return dict(zip(ports, reasons, strict=True))
