"""What the tests of discovery share: a name server, a pool, and discovery between them."""

from collections.abc import Awaitable, Callable, Sequence
from random import Random

from proxy.controlpath.discovery import Discovery
from proxy.controlpath.lookup import make_lookup
from proxy.controlpath.resolver import Resolver
from proxy.demo.dns import DnsServer
from proxy.model import Address
from proxy.observe.counters import ServiceCounters
from proxy.policy.records import Reply
from proxy.policy.resolv_conf import ResolvConf
from proxy.pool import Pool
from tests.controlpath.asking import IPS, WEB, Runner, resolver
from tests.support import FakeClock, eventually, run, service_settings
from tests.support.virtual import LoopClock

NO_SEARCH = ResolvConf()
SRV_NAME = "_http._tcp.web.demo.svc.cluster.local."
SRV_TARGET = f"srv://{SRV_NAME}"


class World:
    """A name server, a pool, and discovery between them; time by hand. `resolver` may be replaced."""

    def __init__(self, dns: DnsServer, resolver: Resolver, rules: ResolvConf, **settings: str) -> None:
        self.dns = dns
        self.resolver = resolver
        self.conf = rules  # what resolv.conf says
        self.clock = FakeClock()
        defaults = {"TARGET": f"{WEB}:80", "LISTEN": "127.0.0.1:1", "DNS_SHRINK_GUARD": "100%"}
        self.settings = service_settings(**defaults | settings)
        self.pool = Pool(self.settings, ServiceCounters(), self.clock, Random(7))
        self.ours: set[str] = set()  # ips that lead back to the service itself
        lookup = make_lookup(self.settings, self, self.pool, self.clock)
        parts = lambda: self.conf, self._leads_back, self.pool, self.clock, Random(7)
        self.discovery = Discovery(self.settings, lookup, *parts)
        self.pool.request_resolve = self.discovery.poll_soon

    async def query(self, name: str, qtype: str) -> Reply:
        return await self.resolver.query(name, qtype)

    @property
    def ips(self) -> list[str]:
        return sorted(endpoint.address.ip for endpoint in self.pool.members)

    @property
    def pods(self) -> list[str]:
        """Who is known, as `ip:port (name)`."""
        return sorted(str(endpoint.identity) for endpoint in self.pool.members)

    @property
    def results(self) -> dict[str, int]:
        """How many queries brought which result."""
        return dict(self.pool.counters.dns_queries)

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

    def asked_for(self, qtype: str) -> list[str]:
        """The names asked for records of this type, in order."""
        return [query.name for query in self.dns.queries if query.qtype == qtype]


def with_world(
    test: Callable[[World], Awaitable[None]],
    rules: ResolvConf = NO_SEARCH,
    timeout_s: float = 1.0,  # where a reply comes, also on a busy machine
    by: Runner = run,  # or virtual.with_sockets, where discovery does not run by itself, by its fake clock
    **settings: str,
) -> None:
    async def story() -> None:
        async with DnsServer(rng=Random(7), clock=LoopClock()) as dns:
            dns.set(WEB, IPS)
            await test(World(dns, resolver(dns, timeout_s=timeout_s), rules, **settings))

    by(story())
