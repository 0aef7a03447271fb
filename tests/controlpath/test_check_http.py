"""HTTP health checks: what a pod is asked, what it may answer, and how the connection ends."""

import asyncio
import socket
import time

import pytest

from proxy.errors import CheckFailed, ConnectTimeout, Refused, ResetEarly
from proxy.model import Address
from tests.controlpath.talking import OK, answering, check_of, http_check, talking
from tests.support import run

# --- what is asked ------------------------------------------------------------------------------


def test_the_request() -> None:
    """One GET of HEALTH_PATH, by name and version, on a connection that is not kept."""
    heard: list[str] = []
    http_check(answering(OK, heard=heard), HEALTH_PATH="/healthz?full=1&x=%20/../", HEALTH_HOST="shop:8080")

    first, *headers = heard[0].split("\r\n")
    assert first == "GET /healthz?full=1&x=%20/../ HTTP/1.1"
    named = dict(line.split(": ", 1) for line in headers if line)
    assert named["Host"] == "shop:8080"
    assert named["Connection"] == "close"
    assert named["User-Agent"].startswith("headway/")
    assert named.keys() == {"Host", "Connection", "User-Agent", "Accept"}


@pytest.mark.parametrize("path", ["/", "//a", "/a/../b", "/a%2Fb", "/?x=a+b", "/x;y=1"])
def test_the_path_is_sent_as_it_is(path: str) -> None:
    """Nothing in HEALTH_PATH is tidied up."""
    heard: list[str] = []
    http_check(answering(OK, heard=heard), HEALTH_PATH=path)

    assert heard[0].startswith(f"GET {path} HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "variables,host",
    [
        ({"TARGET": "web.demo:80"}, "web.demo"),
        ({"TARGET": "web.demo.svc.cluster.local.:80"}, "web.demo.svc.cluster.local"),
        ({"TARGET": "srv://_http._tcp.web.demo.", "LISTEN": ":1"}, "web.demo"),
        ({"TARGET": "static://10.0.0.1:80"}, "{address}"),
        ({"TARGET": "static://10.0.0.1:80", "HEALTH_HOST": "shop"}, "shop"),
    ],
)
@pytest.mark.parametrize("ip", ["127.0.0.1", "::1"])
def test_the_host(variables: dict[str, str], host: str, ip: str) -> None:
    """The Host header is HEALTH_HOST, else the target's name, else the pod's address."""

    async def story() -> None:
        heard: list[str] = []
        async with talking(answering(OK, heard=heard), ip) as pod:
            await check_of(HEALTH_CHECK="http", **variables)(pod.address, 1.0)
            assert f"\r\nHost: {host.format(address=pod.address)}\r\n" in heard[0]

    run(story())


@pytest.mark.parametrize("kind", ["tcp", "http"])
def test_another_port(kind: str) -> None:
    """HEALTH_PORT is where the check goes, whatever port connections go to."""

    async def story() -> None:
        async with talking(answering(OK)) as pod:
            check = check_of(HEALTH_CHECK=kind, HEALTH_PORT=str(pod.address.port))
            await check(Address("127.0.0.1", 1), 1.0)
            with pytest.raises(Refused):
                await check_of(HEALTH_CHECK=kind)(Address("127.0.0.1", 1), 1.0)

    run(story())


def test_each_check_is_on_its_own() -> None:
    """A cookie is not kept, a connection neither, and proxies of the environment are not asked."""

    async def story() -> list[str]:
        heard: list[str] = []
        cookie = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
        async with talking(answering(cookie, heard=heard)) as pod:
            check = check_of(HEALTH_CHECK="http")
            for _ in range(3):
                await check(pod.address, 1.0)
            assert await pod.saw(3) == ["end"] * 3
        return heard

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        patch.setenv("http_proxy", "http://127.0.0.1:1")
        heard = run(story())

    assert len(heard) == 3
    assert not any("cookie" in each.lower() for each in heard)


# --- what counts --------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 204, 299, 301, 399])
def test_statuses_that_pass(status: int) -> None:
    """By default, what kubelet takes for well: 200 to 399."""
    http_check(answering(b"HTTP/1.1 %d Whatever\r\nContent-Length: 0\r\n\r\n" % status))


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_statuses_that_fail(status: int) -> None:
    """Any other fails the check, and the log can say which it was."""
    with pytest.raises(CheckFailed, match=f"^HTTP {status}$"):
        http_check(answering(b"HTTP/1.1 %d Whatever\r\nContent-Length: 0\r\n\r\n" % status))


def test_chosen_statuses() -> None:
    """HEALTH_STATUS may be any set of statuses."""
    teapot = b"HTTP/1.1 418 I'm a teapot\r\nContent-Length: 0\r\n\r\n"
    http_check(answering(teapot), HEALTH_STATUS="200,410-420")
    with pytest.raises(CheckFailed, match="HTTP 200"):
        http_check(answering(OK), HEALTH_STATUS="410-420")


def test_no_redirect_is_followed() -> None:
    """A redirect is an answer like any other: nobody else is asked."""

    async def story() -> None:
        elsewhere: list[str] = []
        async with talking(answering(OK, heard=elsewhere)) as other:
            moved = b"HTTP/1.1 302 Found\r\nLocation: http://%s/\r\nContent-Length: 0\r\n\r\n"
            async with talking(answering(moved % str(other.address).encode())) as pod:
                await check_of(HEALTH_CHECK="http")(pod.address, 1.0)
                with pytest.raises(CheckFailed, match="HTTP 302"):
                    await check_of(HEALTH_CHECK="http", HEALTH_STATUS="200-299")(pod.address, 1.0)
        assert elsewhere == []

    run(story())


@pytest.mark.parametrize(
    "pieces",
    [
        [b"HTTP/1.0 200 OK\r\n\r\nold"],
        [b"HTTP/1.1 100 Continue\r\n\r\n", OK],
        [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", OK],
        [b"HTTP/1.1 200 OK\r\nX: " + b"x" * 30_000 + b"\r\nContent-Length: 0\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 7\r\n\r\nnotgzip"],
        [OK[:20], OK[20:]],
    ],
    ids=["1.0", "continue", "early hints", "large head", "gzip that is none", "in pieces"],
)
def test_answers_of_many_kinds_pass(pieces: list[bytes]) -> None:
    """Whatever HTTP allows before, in or after the status does not matter."""
    http_check(answering(*pieces, then_close=True))


@pytest.mark.parametrize(
    "piece,said",
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "no HTTP answer"),
        (b"\x15\x03\x01\x00\x02\x02\x46" * 10, "no HTTP answer"),
        (b"HTTP/1.1 OK\r\n\r\n", "no HTTP answer"),
        (b"", "closed without an HTTP answer"),
        (b"HTTP/1.1 200 OK\r\nContent-", "closed without an HTTP answer"),
    ],
)
def test_no_http_answer(piece: bytes, said: str) -> None:
    """Garbage, half an answer or none is a failure of the pod's, in words for the log."""
    with pytest.raises(CheckFailed) as caught:
        http_check(answering(piece, then_close=said != "no HTTP answer"))

    assert (str(caught.value), caught.value.reason, caught.value.source) == (said, "check_failed", "upstream")


def test_a_pod_that_does_not_answer() -> None:
    """It accepts and says nothing, or too slowly: the check ends when HEALTH_TIMEOUT is over."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in OK:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.02)

    began = time.monotonic()
    for talk in (answering(), drip):
        with pytest.raises(ConnectTimeout):
            http_check(talk, timeout_s=0.1)

    assert time.monotonic() - began < 1.5


def test_a_pod_that_resets() -> None:
    """A reset instead of an answer counts as it does for a connection."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    with pytest.raises((ResetEarly, CheckFailed)):
        http_check(talk)
    with pytest.raises(ResetEarly):
        http_check(reset)
