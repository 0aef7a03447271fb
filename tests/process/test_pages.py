"""The telemetry and admin pages, asked as the kubelet, Prometheus and a person in the pod would."""

import asyncio
import json
from typing import Any

import pytest

from proxy.demo.dns import DnsServer
from proxy.demo.ports import free_ports
from proxy.observe.metrics import METRICS
from tests.support import run
from tests.support.pods import ask_once, connect, pods, static
from tests.support.process import running, started

pytestmark = pytest.mark.slow

WEB = "web.demo.svc.cluster.local"


def test_ready_when_resolved_means_any_answer() -> None:
    """Two services that wait for each other both start: NXDOMAIN is an answer, SERVFAIL is none."""

    async def story() -> None:
        async with DnsServer() as dns:
            dns.mode = "servfail"
            settings = {"TARGET": f"{WEB}.:80", "DNS_SERVERS": dns.address, "DNS_INTERVAL": "100ms"}
            async with started(**settings) as proxy:
                await proxy.counts_at_least("headway_dns_queries_total", 4, result="servfail")
                page = await proxy.page("/readyz")
                assert page == (503, "web: no answer from DNS yet\n")

                dns.mode = "nxdomain"

                await proxy.becomes_ready()

    run(story())


def test_ready_when_endpoint_waits_for_a_pod() -> None:
    """With READY_WHEN=endpoint the pod takes no traffic before a pod of the service is known."""

    async def story() -> None:
        async with DnsServer() as dns, pods(1) as some:
            settings = {"TARGET": f"{WEB}.:{some[0].port}", "DNS_SERVERS": dns.address}
            async with started(**settings, DNS_INTERVAL="100ms", READY_WHEN="endpoint") as proxy:
                await proxy.counts_at_least("headway_dns_queries_total", 4, result="nxdomain")
                assert await proxy.page("/readyz") == (503, "web: no usable endpoint yet\n")

                dns.set(WEB, [some[0].ip])

                await proxy.becomes_ready()

    run(story())


def test_ready_when_listening_waits_for_nothing() -> None:
    """With READY_WHEN=listening a dead DNS does not keep the application from starting."""

    async def story() -> None:
        async with DnsServer() as dns:
            dns.mode = "drop"
            settings = {"TARGET": f"{WEB}.:80", "DNS_SERVERS": dns.address}
            async with started(**settings, READY_WHEN="listening") as proxy:
                assert (await proxy.page("/readyz")).status == 200

    run(story())


def test_what_changes_something_is_for_localhost_only() -> None:
    """The telemetry port, open to the whole cluster, shows no settings and obeys nobody."""

    async def story() -> None:
        async with running(TARGET="static://127.0.0.1:1") as proxy:
            for path in ("/endpoints", "/config", "/drain", "/quit"):
                assert (await proxy.page(path)).status == 404
                assert (await proxy.page(path, method="POST")).status == 404
            for path in ("/drain", "/quit"):  # a browser that follows a link must not end anything
                assert (await proxy.page(path, admin=True)).status == 405
            for path in ("/livez", "/readyz", "/metrics", "/endpoints", "/config"):
                assert (await proxy.page(path, admin=True)).status == 200

    run(story())


def test_metrics_say_what_happened() -> None:
    """After five echoes of 4 bytes and one open connection every number is right."""

    async def story() -> None:
        async with pods(2) as some, running(TARGET=static(some), BALANCER="round_robin") as proxy:
            for _ in range(5):
                await ask_once(proxy.address)
            open_one = await connect(proxy.address)
            await proxy.counts("headway_connections_total", 5, outcome="completed", service="default")
            greetings = 6 * len(some[0].ip + "\n")

            assert await proxy.metric("headway_connections_active") == 1
            assert await proxy.metric("headway_endpoint_connections_active", endpoint=open_one_of(some)) == 1
            assert await proxy.metric("headway_endpoint_picks_total", endpoint=some[0].address) == 3
            assert await proxy.metric("headway_endpoint_picks_total", endpoint=some[1].address) == 3
            assert await proxy.metric("headway_bytes_total", direction="to_pod") == 5 * 4
            assert await proxy.metric("headway_bytes_total", direction="from_pod") == 5 * 4 + greetings
            assert await proxy.metric("headway_connect_seconds_count") == 6
            assert await proxy.metric("headway_connection_seconds_count") == 5
            assert await proxy.metric("headway_endpoints", state="ready") == 2
            assert await proxy.metric("headway_build_info") == 1
            await open_one.close()

    def open_one_of(some: list[Any]) -> str:
        return next(str(pod.address) for pod in some if pod.held)

    run(story())


def test_every_declared_metric_is_there() -> None:
    """What the README lists is what Prometheus sees, each with its help and type."""

    async def story() -> None:
        async with running(TARGET="static://127.0.0.1:1") as proxy:
            text = (await proxy.page("/metrics")).text
            described = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE headway_")}

            assert described == set(METRICS)

    run(story())


def test_series_of_a_pod_go_when_it_goes() -> None:
    """A year of rolling updates does not fill Prometheus with the addresses of dead pods."""

    async def story() -> None:
        async with DnsServer() as dns, pods(2) as some:
            dns.set(WEB, [pod.ip for pod in some])
            settings = {"TARGET": f"{WEB}.:{some[0].port}", "DNS_SERVERS": dns.address}
            async with running(**settings, DNS_INTERVAL="100ms", READY_WHEN="endpoint") as proxy:
                dns.set(WEB, [some[0].ip])
                await proxy.counts("headway_endpoints", 1)

                assert some[1].address not in (await proxy.page("/metrics")).text

    run(story())


def test_endpoints_page() -> None:
    """A person sees each endpoint with its state, and why the set is what it is."""

    async def story() -> None:
        async with pods(2) as some, running(TARGET=static(some)) as proxy:
            held = await connect(proxy.address)
            (service,) = json.loads((await proxy.page("/endpoints", admin=True)).text)["services"]

            assert service["membership"] == "obeyed"
            assert [each["endpoint"] for each in service["endpoints"]] == [pod.address for pod in some]
            assert {each["state"] for each in service["endpoints"]} == {"ready"}
            assert sum(each["connections_active"] for each in service["endpoints"]) == 1
            await held.close()

    run(story())


def test_why_page() -> None:
    """The last connections, each with who else could have had it; after a refusal, with who was tried."""

    async def story() -> None:
        async with pods(2) as some:
            target = f"static://127.0.0.1:1,{some[0].address}"
            checks = {"HEALTH_CHECK": "off", "EJECT_AFTER": "1"}
            async with running(TARGET=target, BALANCER="ordered", **checks) as proxy:
                for _ in range(2):
                    await ask_once(proxy.address)
                (service,) = json.loads((await proxy.page("/why", admin=True)).text)["services"]

        last, second, first = service["picks"]
        assert (service["service"], service["balancer"]) == ("default", "ordered")
        assert (first["endpoint"], first["tried"], first["usable"]) == ("127.0.0.1:1", [], 2)
        assert (second["endpoint"], second["tried"]) == (some[0].address, ["127.0.0.1:1"])
        assert (last["endpoint"], last["usable"]) == (some[0].address, 1)
        assert [each["reason"] for each in last["excluded"]] == ["ejected"]
        assert last["from"] == "usable, priority 0"

    run(story())


def test_config_page_is_what_check_prints() -> None:
    """Each effective setting with where it came from."""

    async def story() -> None:
        async with running(TARGET="static://127.0.0.1:1", HEALTH_FALL="7") as proxy:
            shown = json.loads((await proxy.page("/config", admin=True)).text)

            assert shown["HEADWAY_HEALTH_FALL"] == {"value": "7", "origin": "environment"}
            assert shown["HEADWAY_HEALTH_RISE"] == {"value": "2", "origin": "default"}

    run(story())


def test_a_scrape_reaches_both_families_by_default() -> None:
    """TELEMETRY_LISTEN=:port is open to the kubelet over IPv4 and IPv6."""

    async def story() -> None:
        (port,) = free_ports(1)
        async with started(TARGET="static://127.0.0.1:1", TELEMETRY_LISTEN=f":{port}"):
            for host in ("127.0.0.1", "::1"):
                reader, writer = await asyncio.open_connection(host, port)
                writer.write(b"GET /livez HTTP/1.0\r\n\r\n")
                assert b" 200 " in await reader.readline()
                writer.close()

    run(story())


def test_silent_connections_cannot_take_the_pages_away() -> None:
    """The telemetry port is open to the cluster: 300 connections that say nothing block neither it nor us."""

    async def story() -> None:
        async with pods(1) as some, running(TARGET=static(some)) as proxy:
            silent = [await asyncio.open_connection("127.0.0.1", proxy.telemetry_port) for _ in range(300)]
            assert (await proxy.page("/readyz")).status == 200
            assert await proxy.metric("process_open_fds") < 100
            await ask_once(proxy.address)
            for _, writer in silent:
                writer.transport.abort()

    run(story())


def test_a_broken_request_is_no_error_of_ours() -> None:
    """Whoever sends rubbish to the telemetry port gets a 400 and does not write into our log."""

    async def story() -> None:
        async with running(TARGET="static://127.0.0.1:1", HEALTH_CHECK="off") as proxy:
            for rubbish in (
                b"\x16\x03\x01rubbish\r\n\r\n",
                b"GET / HTTP/1.1\r\nX: " + b"x" * 9000 + b"\r\n\r\n",
            ):
                reader, writer = await asyncio.open_connection("127.0.0.1", proxy.telemetry_port)
                writer.write(rubbish)
                assert b" 400 " in await reader.readline()
                writer.close()
            assert (await proxy.page("/livez")).status == 200
            assert "error" not in proxy.log

    run(story())
