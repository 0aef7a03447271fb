"""What the tests of discovery share: a name server, a pool, and discovery between them."""

from collections.abc import Awaitable, Callable, Sequence
from random import Random

from proxy.config import DnsTarget
from proxy.controlpath.discovery import Discovery
from proxy.controlpath.resolver import Resolver
from proxy.demo.dns import DnsServer
from proxy.model import Address
from proxy.observe.counters import ServiceCounters
from proxy.policy.search import SearchRules
from proxy.pool import Pool
from tests.controlpath.asking import IPS, WEB, resolver
from tests.support import FakeClock, eventually, run, service_settings

NO_SEARCH = SearchRules()


class World:
    """A name server, a pool, and discovery between them; time by hand."""

    def __init__(self, dns: DnsServer, resolver: Resolver, rules: SearchRules, **settings: str) -> None:
        target = settings.setdefault("TARGET", f"{WEB}:80")
        host = target.rpartition(":")[0]
        self.dns = dns
        self.clock = FakeClock()
        self.settings = service_settings(**settings)
        self.pool = Pool(self.settings, ServiceCounters(), self.clock, Random(7))
        self.ours: set[str] = set()  # ips that lead back to the service itself
        parts = rules, resolver, self._leads_back, self.pool, self.clock, Random(7)
        self.discovery = Discovery(DnsTarget(host, 80), self.settings, *parts)
        self.pool.request_resolve = self.discovery.poll_soon

    @property
    def ips(self) -> list[str]:
        return sorted(endpoint.address.ip for endpoint in self.pool.members)

    def _leads_back(self, address: Address) -> bool:
        return address.ip in self.ours

    async def has(self, ips: Sequence[str]) -> None:
        async def look() -> bool:
            return self.ips == sorted(ips)

        await eventually(look)

    def asked(self) -> list[str]:
        """The names asked since the last look, in order, each once."""
        names = list(dict.fromkeys(query.name for query in self.dns.queries))
        self.dns.queries.clear()
        return names


def with_world(
    test: Callable[[World], Awaitable[None]], rules: SearchRules = NO_SEARCH, **settings: str
) -> None:
    async def story() -> None:
        async with DnsServer(rng=Random(7)) as dns:
            dns.set(WEB, IPS)
            await test(World(dns, resolver(dns, timeout_s=0.1), rules, **settings))

    run(story())
