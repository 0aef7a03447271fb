"""The life of the process, started and ended as the kubelet does it."""

import asyncio
import re
import signal
import socket
from contextlib import suppress
from time import monotonic

import pytest

from proxy.demo.dns import DnsServer
from tests.support import run
from tests.support.pods import ask_once, connect, pods, push_until_stalled, static
from tests.support.process import Proxy, running, started

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_process_ends_after_the_quiet_time(number: signal.Signals) -> None:
    """With nothing open the process ends by itself, soon and with 0."""

    async def story() -> None:
        async with pods(1) as some, running(TARGET=static(some), DRAIN_QUIET="300ms") as proxy:
            began = monotonic()
            proxy.signal(number)

            assert await proxy.ends() == 0
            assert monotonic() - began >= 0.3

    run(story())


def test_a_signal_while_it_starts() -> None:
    """Python still imports when SIGTERM comes: the process ends as asked, with 0."""

    async def story() -> None:
        proxy = Proxy({"TARGET": "static://127.0.0.1:1"})
        await proxy.start()
        await proxy.handles(signal.SIGTERM)
        proxy.signal(signal.SIGTERM)

        assert await proxy.ends() == 0
        assert proxy.log == ""

    run(story())


def test_egress_works_until_the_application_is_done() -> None:
    """While a connection is open, SIGTERM changes nothing: it lives on and new ones are served."""

    async def story() -> None:
        async with pods(2) as some, running(TARGET=static(some)) as proxy:
            old = await connect(proxy.address)
            proxy.signal(signal.SIGTERM)
            await proxy.shows("/readyz", 503)

            assert await old.echo(b"still here") == b"still here"
            for _ in range(20):
                await ask_once(proxy.address)
            assert re.fullmatch(
                r"draining, \d+ connections open, \d+ s left\n", (await proxy.page("/readyz")).text
            )

            await old.close()

            assert await proxy.ends() == 0

    run(story())


def test_the_drain_deadline_resets_what_is_left() -> None:
    """DRAIN_TIMEOUT is the latest end; a transfer that is cut then does not look complete."""

    async def story() -> None:
        async with pods(1) as some, running(TARGET=static(some), DRAIN_TIMEOUT="300ms") as proxy:
            open_one = await connect(proxy.address)
            await push_until_stalled(open_one.writer)
            proxy.signal(signal.SIGTERM)

            with pytest.raises(ConnectionResetError):
                while await open_one.reader.read(1 << 20):
                    pass
            assert await proxy.ends() == 0
            assert "1 connections still open: those at rest are closed, the others reset" in proxy.log

    run(story())


@pytest.mark.parametrize("second", ["signal", "quit"])
def test_a_second_word_ends_at_once(second: str) -> None:
    """Who asks twice, or asks POST /quit, does not wait for the drain."""

    async def story() -> None:
        async with pods(1) as some, running(TARGET=static(some), DRAIN_TIMEOUT="1h") as proxy:
            open_one = await connect(proxy.address)
            proxy.signal(signal.SIGTERM)
            await proxy.shows("/readyz", 503)
            if second == "signal":
                proxy.signal(signal.SIGTERM)
            else:
                assert (await proxy.page("/quit", admin=True, method="POST")).status == 200

            assert await proxy.ends(within_s=5) == 0
            with suppress(ConnectionResetError):  # if it was not yet at rest
                assert await open_one.reader.read() == b""
            await open_one.close()

    run(story())


def test_the_first_signal_after_a_drain_by_request() -> None:
    """A preStop hook asks for the drain, then the kubelet sends SIGTERM: that one is not a second word."""

    async def story() -> None:
        async with pods(1) as some, running(TARGET=static(some)) as proxy:
            open_one = await connect(proxy.address)
            assert (await proxy.page("/drain", admin=True, method="POST")).status == 200
            await proxy.shows("/readyz", 503)
            proxy.signal(signal.SIGTERM)
            await proxy.logs("got SIGTERM")

            assert await open_one.echo(b"still here") == b"still here"
            await open_one.close()
            assert await proxy.ends() == 0

    run(story())


def test_signals_until_the_very_end() -> None:
    """Whoever sends SIGTERM again and again hears 0 all the same."""

    async def story() -> None:
        async with pods(1) as some, running(TARGET=static(some), DRAIN_QUIET="0") as proxy:
            while proxy.child.ended is None:
                proxy.signal(signal.SIGTERM)
                await asyncio.sleep(0.001)

            assert await proxy.ends() == 0

    run(story())


def test_drain_by_request() -> None:
    """POST /drain is SIGTERM for those who cannot send one."""

    async def story() -> None:
        async with pods(1) as some, running(TARGET=static(some)) as proxy:
            assert (await proxy.page("/drain", admin=True, method="POST")).status == 200
            assert await proxy.ends() == 0

    run(story())


@pytest.mark.parametrize("setting", ["LISTEN", "TELEMETRY_LISTEN", "ADMIN_LISTEN"])
def test_a_taken_port_is_said_in_one_line(setting: str) -> None:
    """Exit status 1, the setting, the address and what to do; no traceback."""

    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            proxy = Proxy({"TARGET": "static://127.0.0.1:1", setting: address})
            await proxy.start()

            assert await proxy.ends() == 1
            assert proxy.log == (
                f"headway: cannot listen on {address}: Address already in use. "
                f"Something else has it: choose another HEADWAY_{setting}."
            )

    run(story())


def test_a_port_taken_for_a_named_service() -> None:
    """With several services the line names the variable that must change."""

    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            proxy = Proxy(
                {"SERVICES": "my-orders", "MY_ORDERS_TARGET": "web:80", "MY_ORDERS_LISTEN": address}
            )
            await proxy.start()

            assert await proxy.ends() == 1
            assert "choose another HEADWAY_MY_ORDERS_LISTEN." in proxy.log

    run(story())


def test_the_first_connection_waits_for_the_first_endpoint() -> None:
    """An application that starts before DNS answers is served as soon as it does."""

    async def story() -> None:
        async with pods(1) as some, DnsServer() as dns:
            target = f"web.demo.svc.cluster.local.:{some[0].port}"
            dns.mode = "servfail"
            async with started(TARGET=target, DNS_SERVERS=dns.address, DNS_INTERVAL="200ms") as proxy:
                assert (await proxy.page("/readyz")).status == 503
                early = asyncio.create_task(ask_once(proxy.address))
                await proxy.counts("headway_queue_waiting", 1)
                dns.set("web.demo.svc.cluster.local", [some[0].ip])
                dns.mode = "answer"

                assert await early == some[0].ip
                assert (await proxy.page("/readyz")).status == 200

    run(story())


def test_nobody_there_is_a_reset_within_the_deadline() -> None:
    """Without any endpoint a connection fails after CONNECT_DEADLINE, as a failure, and is counted."""

    async def story() -> None:
        async with DnsServer() as dns:
            settings = {"TARGET": "web.demo.:80", "DNS_SERVERS": dns.address, "CONNECT_DEADLINE": "200ms"}
            async with running(**settings) as proxy:
                with pytest.raises(ConnectionError):
                    await ask_once(proxy.address)
                assert await proxy.metric("headway_connections_total", outcome="no_endpoint") == 1

    run(story())
