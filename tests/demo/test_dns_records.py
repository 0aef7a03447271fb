"""The kinds of record that the demo's DNS server has beside addresses, asked with real packets."""

from typing import Any

import dnslib
import pytest

from proxy.demo.dns import DnsServer
from tests.demo.test_dns import IPS, WEB, ask, ips, minimum, with_server

HTTP = f"_http._tcp.{WEB}"
HOSTS = [f"web-{number}.{WEB}" for number in range(3)]


def serve(dns: DnsServer) -> None:
    for host, ip in zip(HOSTS, IPS, strict=True):
        dns.set(host, [ip])
    dns.set_srv(HTTP, [(host, 8080) for host in HOSTS])


def services(reply: Any) -> list[tuple[int, int, int, str]]:
    """Priority, weight, port and host of each SRV."""
    records = [record.rdata for record in reply.rr]
    return [(each.priority, each.weight, each.port, str(each.target)) for each in records]


def glue(reply: Any) -> list[str]:
    return sorted(str(record.rdata) for record in reply.ar)


def chain(reply: Any) -> list[tuple[str, str]]:
    return [(str(record.rname), str(record.rdata)) for record in reply.rr]


@pytest.mark.parametrize("tcp", [False, True])
def test_srv_with_glue(tcp: bool) -> None:
    """SRV names the pods and their ports in a steady order, and brings their addresses along in any."""

    async def test(dns: DnsServer) -> None:
        serve(dns)
        replies = [await ask(dns, "SRV", HTTP, tcp=tcp) for _ in range(20)]

        for reply in replies:
            assert services(reply) == [(0, 33, 8080, host + ".") for host in HOSTS]
            assert sorted((str(record.rname), str(record.rdata)) for record in reply.ar) == sorted(
                zip([host + "." for host in HOSTS], IPS, strict=True)
            )
        assert {str(reply.ar[0].rdata) for reply in replies} == set(IPS)

    with_server(test)


@pytest.mark.parametrize("pods,weight", [(1, 100), (2, 50), (3, 33), (120, 1)])
def test_weights_are_made_up(pods: int, weight: int) -> None:
    """As in CoreDNS a weight is 100 divided by the number of pods, but at least 1."""

    async def test(dns: DnsServer) -> None:
        dns.set_srv(HTTP, [(f"web-{number}.", 8080) for number in range(pods)])

        found = services(await ask(dns, "SRV", HTTP, tcp=True))
        assert found == [(0, weight, 8080, f"web-{number}.") for number in range(pods)]

    with_server(test)


def test_weights_can_be_chosen() -> None:
    """Other name servers have SRV records with priorities and weights that somebody thought about."""

    async def test(dns: DnsServer) -> None:
        dns.set_srv(HTTP, [("a.", 80, 10, 60), ("b.", 81, 20, 0), ("c.", 82)])

        assert services(await ask(dns, "SRV", HTTP)) == [
            (10, 60, 80, "a."),
            (20, 0, 81, "b."),
            (0, 33, 82, "c."),
        ]

    with_server(test)


def test_glue_comes_once_and_of_both_families() -> None:
    """A pod that serves on two ports is glued once, with all its addresses."""

    async def test(dns: DnsServer) -> None:
        dns.set(HOSTS[0], ["127.0.0.11", "fd00::11"])
        dns.set_srv(WEB, [(HOSTS[0].upper(), 8080), (HOSTS[0].upper(), 9901)])

        assert glue(await ask(dns, "SRV", WEB)) == ["127.0.0.11", "fd00::11"]

    with_server(test)


def test_glue_can_be_left_off() -> None:
    """Name servers may send some of the addresses along, or none: the client must ask for the rest."""

    async def test(dns: DnsServer) -> None:
        serve(dns)
        dns.glue_at_most = 2
        some = await ask(dns, "SRV", HTTP)
        dns.glue = False
        none = await ask(dns, "SRV", HTTP)

        assert (len(some.rr), glue(some), some.header.tc) == (3, IPS[:2], 0)
        assert (len(none.rr), glue(none), none.header.tc) == (3, [], 0)

    with_server(test)


def test_ttl() -> None:
    """Every record has the ttl that was set, and so long may a "no" be cached."""

    async def test(dns: DnsServer) -> None:
        serve(dns)
        dns.set_cname("alias.", WEB)
        dns.ttl_s = 5
        replies = [
            await ask(dns, *what) for what in (("A", "alias."), ("SRV", HTTP), ("A", "typo."), ("AAAA", WEB))
        ]

        records = [record for reply in replies for record in [*reply.rr, *reply.auth, *reply.ar]]
        assert len(records) == (1 + 3) + (3 + 3) + 1 + 1
        assert {record.ttl for record in records} == {5}
        assert [minimum(reply) for reply in replies[2:]] == [5, 5]

    with_server(test)


def test_cname() -> None:
    """The reply has each alias on the way, in order, then what is at its end."""

    async def test(dns: DnsServer) -> None:
        dns.set_cname("Shop.", "orders.")
        dns.set_cname("orders.", WEB)
        reply = await ask(dns, "A", "shop.")

        assert chain(reply)[:2] == [("shop.", "orders."), ("orders.", WEB + ".")]
        assert sorted(chain(reply)[2:]) == [(WEB + ".", ip) for ip in IPS]
        assert (reply.header.rcode, reply.auth) == (dnslib.RCODE.NOERROR, [])
        assert chain(await ask(dns, "CNAME", "shop.")) == [("shop.", "orders.")]
        assert chain(await ask(dns, "AAAA", "orders.")) == [("orders.", WEB + ".")]

    with_server(test)


def test_cname_to_srv() -> None:
    """An alias of an SRV name leads to the pods and brings their addresses."""

    async def test(dns: DnsServer) -> None:
        serve(dns)
        dns.set_cname("shop.", HTTP)
        reply = await ask(dns, "SRV", "shop.")

        assert chain(reply)[0] == ("shop.", HTTP + ".")
        assert [str(record.rdata.target) for record in reply.rr[1:]] == [host + "." for host in HOSTS]
        assert glue(reply) == IPS

    with_server(test)


def test_cname_to_nowhere() -> None:
    """A dangling alias exists, so it is no NXDOMAIN; a loop of aliases ends after one round."""

    async def test(dns: DnsServer) -> None:
        dns.set_cname("dangling.", "nowhere.")
        dns.set_cname("one.", "two.")
        dns.set_cname("two.", "one.")
        dangling, loop = await ask(dns, "A", "dangling."), await ask(dns, "A", "one.")

        assert (chain(dangling), dangling.header.rcode) == ([("dangling.", "nowhere.")], dnslib.RCODE.NOERROR)
        assert (chain(loop), loop.header.rcode) == (
            [("one.", "two."), ("two.", "one.")],
            dnslib.RCODE.NOERROR,
        )

    with_server(test)


def test_an_alias_is_nothing_else() -> None:
    """A name is an alias or has records of its own: what was said last."""

    async def test(dns: DnsServer) -> None:
        dns.set_cname(WEB, "nowhere.")
        assert chain(await ask(dns)) == [(WEB + ".", "nowhere.")]

        dns.set_srv(WEB, [("a.", 80)])
        assert services(await ask(dns, "SRV")) == [(0, 100, 80, "a.")]
        assert ips(await ask(dns, "A")) == []

        dns.set_cname(WEB, "nowhere.")
        dns.set(WEB, IPS[:1])
        assert ips(await ask(dns)) == IPS[:1]
        assert services(await ask(dns, "SRV")) == []

    with_server(test)


def test_soa() -> None:
    """The zone tells its serial, asked for it or along with a "no"."""

    async def test(dns: DnsServer) -> None:
        dns.serial = 2026
        asked, denied = await ask(dns, "SOA", "cluster.local"), await ask(dns, "A", "typo.cluster.local")

        assert [(str(record.rname), record.rdata.times[0]) for record in asked.rr] == [
            ("cluster.local.", 2026)
        ]
        assert denied.auth[0].rdata.times[0] == 2026

        for other in (await ask(dns, "A", "cluster.local"), await ask(dns, "SOA", WEB)):
            assert (other.header.rcode, other.rr, minimum(other)) == (dnslib.RCODE.NOERROR, [], 30)

    with_server(test)
