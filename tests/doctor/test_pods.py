"""`headway doctor` and pods that do not accept: on the wrong port, or at all."""

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from proxy.demo.ports import free_ports
from tests.doctor.scene import IPS, WEB, Cluster, with_cluster


@pytest.mark.parametrize("listen", ["", "127.0.0.1:9"])
def test_the_service_s_port_instead_of_the_pods(tmp_path: Path, listen: str) -> None:
    """The commonest mistake: `port` of the Service. SRV knows the targetPort; the listener must not move."""

    async def test(world: Cluster) -> None:
        (wrong,) = free_ports(1, IPS)
        follows = f"127.0.0.1:{wrong}"
        ended = await world.doctor(TARGET=f"web:{wrong}", LISTEN=listen or follows)
        finding = ended.only("port_closed")

        assert f"port {wrong} refuses on 3 of 3 pods" in finding.what
        assert f"port {world.port} accepts (SRV lists it)" in finding.what
        assert f"HEADWAY_TARGET=web:{world.port}" in finding.fix
        assert "must be the pods' targetPort, not the Service's port" in finding.fix
        assert (f"HEADWAY_LISTEN={follows}" in finding.fix) is ("LISTEN" in finding.fix) is (listen == "")
        assert len(ended.facts["services"][0]["ports"]) <= 12

    with_cluster(tmp_path, test)


def test_a_common_port_instead(tmp_path: Path) -> None:
    """Without SRV, ports that servers often have are tried, on two pods at most and a dozen times."""

    async def test(world: Cluster) -> None:
        world.dns.set_srv(WEB, [])
        for pod in world.pods:
            await pod.close()
        common = next(port for port in world.common_ports if port != world.port)
        with ExitStack() as cleanup:
            for ip in IPS:
                cleanup.enter_context(socket.create_server((ip, common)))
            ended = await world.doctor()

        finding = ended.only("port_closed")
        assert f"but port {common} accepts" in finding.what
        assert f"HEADWAY_TARGET={WEB}:{common}" in finding.fix
        assert len(ended.facts["services"][0]["ports"]) == 10  # and one of them on the second pod

    with_cluster(tmp_path, test)


def test_nothing_listens_at_all(tmp_path: Path) -> None:
    """No other port accepts either: the pods are at fault, not the setting."""

    async def test(world: Cluster) -> None:
        for pod in world.pods:
            await pod.close()
        finding = (await world.doctor()).only("checks_fail")

        assert f"3 of 3 pods do not accept connections: refused: 127.0.0.21:{world.port}" in finding.what
        assert "targetPort" in finding.fix
        assert "Headway sends connections to the others" not in finding.what

    with_cluster(tmp_path, test)


@pytest.mark.slow
@pytest.mark.parametrize("by_srv", [False, True])
def test_half_of_the_pods_fail(tmp_path: Path, by_srv: bool) -> None:
    """Two of three pods refuse all the time: that is no stale address any more."""

    async def test(world: Cluster) -> None:
        for pod in world.pods[:2]:
            await pod.close()
        target = f"srv://_http._tcp.{WEB}" if by_srv else f"{WEB}:{world.port}"
        finding = (await world.doctor(watch_s=0.2, TARGET=target, LISTEN="127.0.0.1:1")).only("checks_fail")

        assert "2 of 3 pods" in finding.what
        assert "127.0.0.21" in finding.what
        assert "127.0.0.23" not in finding.what

    with_cluster(tmp_path, test)


@pytest.mark.slow
def test_a_pod_that_is_silent(tmp_path: Path) -> None:
    """A pod whose packets vanish is told apart from one that refuses: a NetworkPolicy, or its node."""

    async def test(world: Cluster) -> None:
        await world.pods[0].close()
        with ExitStack() as cleanup:
            full = cleanup.enter_context(socket.socket())
            full.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            full.bind((IPS[0], world.port))
            full.listen(0)
            for _ in range(4):  # fill the backlog: the kernel drops what comes now
                caller = cleanup.enter_context(socket.socket())
                caller.setblocking(False)
                caller.connect_ex((IPS[0], world.port))
            finding = (await world.doctor(HEALTH_TIMEOUT="100ms", watch_s=0.1)).only("checks_fail")

        assert f"1 of 3 pods do not accept connections: timeout: {IPS[0]}:{world.port}" in finding.what
        assert "Headway sends connections to the others" in finding.what
        assert "NetworkPolicy" in finding.fix

    with_cluster(tmp_path, test)


def test_a_list_of_addresses(tmp_path: Path) -> None:
    """A `static://` target asks no DNS: only its pods are checked."""

    async def test(world: Cluster) -> None:
        await world.pods[2].close()
        world.dns.mode = "drop"
        target = "static://" + ",".join(pod.address for pod in world.pods)
        finding = (await world.doctor(TARGET=target)).only("checks_fail", service="default")

        assert f"1 of 3 pods do not accept connections: refused: {world.pods[2].address}" in finding.what
        assert world.dns.count() == 0

    with_cluster(tmp_path, test)


def test_findings_name_their_service(tmp_path: Path) -> None:
    """With several services, each finding says whose it is, and the fix names that service's variable."""

    async def test(world: Cluster) -> None:
        (wrong,) = free_ports(1, IPS)
        ended = await world.doctor(
            SERVICES="good,my-shop",
            GOOD_TARGET=f"{WEB}:{world.port}",
            MY_SHOP_TARGET=f"{WEB}:{wrong}",
        )
        finding = ended.only("port_closed", "my-shop")

        assert f"HEADWAY_MY_SHOP_TARGET={WEB}:{world.port}" in finding.fix
        assert f"HEADWAY_MY_SHOP_LISTEN=127.0.0.1:{wrong}" in finding.fix

    with_cluster(tmp_path, test)
