"""Sockets that a supervisor passes on: which are taken, which are refused, and what stays when we end."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from proxy.bind import bind, bind_all, unbind
from proxy.config import Listen
from proxy.errors import StartError
from proxy.inherit import Inherited, is_inherited, take_over


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def listening(
    cleanup: ExitStack, ip: str = "127.0.0.1", port: int = 0, *, both: bool = False
) -> socket.socket:
    sock = cleanup.enter_context(socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET))
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if both else 1)
    sock.bind((ip, port))
    sock.listen()
    return sock


def port_of(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


def inherited(*socks: socket.socket) -> Inherited:
    return Inherited((f"descriptor {3 + place} (one)", sock) for place, sock in enumerate(socks))


def ips(socks: list[socket.socket]) -> set[str]:
    return {sock.getsockname()[0] for sock in socks}


def test_it_is_used_instead_of_binding(cleanup: ExitStack) -> None:
    """The address is taken by the very socket that is passed on: it serves, and stays open elsewhere."""
    kept = listening(cleanup)
    passed = socket.socket(fileno=os.dup(kept.fileno()))
    passed_on = inherited(passed)

    (sock,) = bind(Listen("127.0.0.1", port_of(kept)), "LISTEN", passed_on)

    assert sock is passed
    assert is_inherited(sock)
    passed_on.refuse_rest()
    unbind(sock)
    socket.create_connection(kept.getsockname(), timeout=1).close()  # it waits for the next process


def test_some_of_several_addresses(cleanup: ExitStack) -> None:
    """What is not passed on is opened as ever."""
    passed = listening(cleanup)
    listens = (Listen("127.0.0.2", 0), Listen("127.0.0.1", port_of(passed)))

    own, found = bind_all(listens, "LISTEN", inherited(passed))
    cleanup.callback(unbind, own)

    assert found is passed
    assert not is_inherited(own)


@pytest.mark.parametrize(
    "host,ip,both,want",
    [
        ("localhost", "127.0.0.1", False, {"127.0.0.1", "::1"}),
        ("localhost", "::1", False, {"127.0.0.1", "::1"}),
        ("", "::", True, {"::"}),
        ("", "::", False, {"0.0.0.0", "::"}),
        ("", "0.0.0.0", False, {"0.0.0.0", "::"}),
        ("::", "::", True, {"::"}),
    ],
)
def test_half_of_what_a_host_means(
    cleanup: ExitStack, host: str, ip: str, both: bool, want: set[str]
) -> None:
    """localhost and every address mean both families, whichever of them is passed on."""
    passed = listening(cleanup, ip, both=both)

    socks = bind(Listen(host, port_of(passed)), "LISTEN", inherited(passed))
    for sock in socks:
        cleanup.callback(unbind, sock)

    assert socks[0] is passed
    assert ips(socks) == want


def test_the_file_is_not_ours(cleanup: ExitStack, tmp_path: Path) -> None:
    """A Unix socket is known through a linked directory as well, and its file stays when we end."""
    (tmp_path / "run").mkdir()
    (tmp_path / "var").symlink_to(tmp_path / "run")
    path = tmp_path / "run" / "orders.sock"
    kept = cleanup.enter_context(socket.socket(socket.AF_UNIX))
    kept.bind(str(path))
    kept.listen()

    (sock,) = bind(Listen(path=str(tmp_path / "var" / "orders.sock")), "LISTEN", inherited(kept))
    unbind(sock)

    assert path.exists()


def test_one_that_nobody_asked_for(cleanup: ExitStack) -> None:
    """Whoever connected to it would wait for ever: it is an error, with its name and address."""
    passed = listening(cleanup)
    port = port_of(passed)

    with pytest.raises(StartError, match=rf"descriptor 3 \(one\) on 127.0.0.1:{port}\. Set HEADWAY_LISTEN"):
        inherited(passed).refuse_rest()


def test_one_at_another_address_of_the_port(cleanup: ExitStack) -> None:
    """systemd's `ListenStream=8080` is every address: it is in the way of 127.0.0.1:8080, nothing else is."""
    passed = listening(cleanup, "0.0.0.0")
    port = port_of(passed)

    with pytest.raises(StartError) as caught:
        bind(Listen("127.0.0.1", port), "ORDERS_LISTEN", inherited(listening(cleanup), passed))

    assert str(caught.value) == (
        f"cannot listen on 127.0.0.1:{port}: Address already in use."
        f" Inherited descriptor 4 (one) on 0.0.0.0:{port} has it:"
        " set HEADWAY_ORDERS_LISTEN to that, or do not pass it on."
    )


def test_options_of_one_that_is_open_already(cleanup: ExitStack) -> None:
    """What can no longer be changed is not ignored; a backlog can be."""
    passed = listening(cleanup)
    port = port_of(passed)

    with pytest.raises(StartError, match=r"\?reuseport: descriptor 3 \(one\) is open there already"):
        bind(Listen("127.0.0.1", port, reuseport=True), "LISTEN", inherited(passed))
    assert bind(Listen("127.0.0.1", port, backlog=1), "LISTEN", inherited(passed)) == [passed]
    assert backlog_of(passed) == 1


def backlog_of(sock: socket.socket) -> int:
    """tcpi_sacked of a listening socket: what listen(2) was told."""
    return int.from_bytes(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)[28:32], sys.byteorder)


# --- as the system passes them on ---------------------------------------------------------------

CHILD = """
import os, socket, sys
from proxy.config import handed_over
from proxy.errors import StartError
from proxy.inherit import take_over
if os.environ.get("LISTEN_PID") == "mine":
    os.environ["LISTEN_PID"] = str(os.getpid())
try:
    found = take_over(handed_over())
    left = [name for name in os.environ if name.startswith("LISTEN")]
    for what, sock in found._unclaimed:
        print(what, sock.getsockname()[:2], os.get_inheritable(sock.fileno()), sock.getblocking())
    print("left:", left)
except StartError as error:
    print(error)
"""


def passed_on(sock: socket.socket | None, **variables: str) -> list[str]:
    """What a process says that gets `sock` as descriptor 3 and these variables."""
    become = f"import os, sys; os.execv(sys.executable, [sys.executable, '-c', {CHILD!r}])"
    if sock is not None:
        become = f"import os; os.dup2({sock.fileno()}, 3); {become}"
    done = subprocess.run(
        [sys.executable, "-c", become],
        env={"PYTHONPATH": str(Path(__file__).parents[1])} | variables,
        pass_fds=[] if sock is None else [sock.fileno()],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_what_a_process_takes_over(cleanup: ExitStack) -> None:
    """It is named, keeps to this process, does not block; and no child of ours finds the variables."""
    sock = listening(cleanup)

    assert passed_on(sock, LISTEN_PID="mine", LISTEN_FDS="1", LISTEN_FDNAMES="orders.socket") == [
        f"descriptor 3 (orders.socket) {sock.getsockname()} False False",
        "left: []",
    ]


def test_for_another_process(cleanup: ExitStack) -> None:
    """sd_listen_fds(3): with another LISTEN_PID they are not for us; they go all the same."""
    assert passed_on(listening(cleanup), LISTEN_PID="1", LISTEN_FDS="1") == ["left: []"]


def mine(**variables: str) -> dict[str, str]:
    return {"LISTEN_PID": str(os.getpid())} | variables


def refused(monkeypatch: pytest.MonkeyPatch, sock: socket.socket) -> str:
    """What is said of `sock` where it is the first descriptor passed on."""
    monkeypatch.setattr("proxy.inherit.FIRST", os.dup(sock.fileno()))
    with pytest.raises(StartError) as caught:
        take_over(mine(LISTEN_FDS="1"))
    return str(caught.value).partition(") ")[2] or str(caught.value).split(" ", 3)[3]


def test_what_is_nothing_to_listen_on(monkeypatch: pytest.MonkeyPatch, cleanup: ExitStack) -> None:
    """Each wrong kind is refused with how it came about."""
    datagrams = cleanup.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    connected = cleanup.enter_context(socket.socket())

    assert refused(monkeypatch, datagrams) == "carries no streams (systemd: ListenStream=)"
    assert refused(monkeypatch, connected) == "does not listen (systemd: Accept=no)"


def test_what_is_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, or nothing at all, is said to be that."""
    reads, writes = os.pipe()
    monkeypatch.setattr("proxy.inherit.FIRST", reads)
    with pytest.raises(StartError, match=rf"inherited descriptor {reads} \(orders\) is no socket"):
        take_over(mine(LISTEN_FDS="1", LISTEN_FDNAMES="orders"))
    os.close(reads)
    os.close(writes)
    with pytest.raises(StartError, match=rf"inherited descriptor {reads} is not open"):
        take_over(mine(LISTEN_FDS="1"))


@pytest.mark.parametrize("text", ["", "one", "-1"])
def test_a_count_that_is_none(text: str) -> None:
    """A supervisor that says nonsense is not believed in part."""
    with pytest.raises(StartError, match=f"LISTEN_FDS='{text}' is no number"):
        take_over(mine(LISTEN_FDS=text))
