"""The files of Unix sockets: who may use them, when they come and go, and what is said when they cannot."""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from proxy.bind import bind, unbind
from proxy.config import Listen
from proxy.errors import StartError
from tests.support.binding import Open, opening


@pytest.fixture
def opened() -> Iterator[Open]:
    with opening() as opened:
        yield opened


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "headway.sock")


def reaches_file(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
    return True


def test_a_unix_socket(opened: Open, path: str) -> None:
    """A client connects through the file, and unbinding removes it."""
    (sock,) = opened(Listen(path=path))

    assert reaches_file(path)

    unbind(sock)

    assert not os.path.exists(path)


def test_a_file_left_by_a_killed_process(opened: Open, path: str) -> None:
    """A socket file that nobody listens on any more is replaced."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
        dead.listen()
    assert not reaches_file(path)

    opened(Listen(path=path))

    assert reaches_file(path)


def test_a_socket_that_is_in_use(opened: Open, path: str) -> None:
    """A live listener keeps its file: two sidecars do not steal each other's clients."""
    opened(Listen(path=path))

    with pytest.raises(StartError, match=f"unix:{path}: Address already in use. .*HEADWAY_LISTEN"):
        bind(Listen(path=path), "LISTEN")

    assert reaches_file(path)


def test_a_socket_that_is_in_use_by_a_busy_process(path: str) -> None:
    """A live listener that accepts nobody just now is alive all the same, and is not waited for."""
    with ExitStack() as cleanup:
        busy = cleanup.enter_context(socket.socket(socket.AF_UNIX))
        busy.bind(path)
        busy.listen(0)
        waiting = cleanup.enter_context(socket.socket(socket.AF_UNIX))
        waiting.connect(path)

        with pytest.raises(StartError, match="Address already in use"):
            bind(Listen(path=path), "LISTEN")

        assert os.path.exists(path)


def test_a_file_that_is_no_socket(path: str) -> None:
    """Somebody's ordinary file is never deleted."""
    Path(path).write_text("precious")

    with pytest.raises(StartError, match="Address already in use"):
        bind(Listen(path=path), "LISTEN")

    assert Path(path).read_text() == "precious"


def test_a_folder_that_is_not_there(path: str) -> None:
    """A path in a folder that does not exist is said to be that, with the variable to look at."""
    with pytest.raises(StartError, match=f"There is no directory {path}: .* choose another HEADWAY_LISTEN"):
        bind(Listen(path=f"{path}/deeper"), "LISTEN")


def test_the_file_goes_though_the_socket_is_closed_already(path: str) -> None:
    """The server of the pages closes its sockets itself: their files go all the same."""
    (sock,) = bind(Listen(path=path), "ADMIN_LISTEN")
    sock.close()

    unbind(sock)

    assert not os.path.exists(path)


def test_a_file_that_is_gone_already(path: str) -> None:
    """Unbinding does not mind that somebody has removed the file, nor that it is done twice."""
    (sock,) = bind(Listen(path=path), "LISTEN")
    os.unlink(path)

    unbind(sock)
    unbind(sock)


def test_any_user_of_the_pod_may_connect(opened: Open, path: str) -> None:
    """A Unix socket is as open as a port on loopback: the application rarely has the sidecar's uid."""
    opened(Listen(path=path))

    assert os.stat(path).st_mode & 0o777 == 0o666


@pytest.mark.parametrize(
    "code,says",
    [
        (errno.EACCES, "User {uid} may not write to {folder}: give it the right to, or"),
        (errno.EROFS, "{folder} is on a read-only file system: mount a volume there, or"),
    ],
)
def test_a_folder_that_cannot_be_written_to(
    monkeypatch: pytest.MonkeyPatch, path: str, code: int, says: str
) -> None:
    """Why there can be no file is said with what to do; root, who runs tests in containers, may do more."""

    def fail(sock: socket.socket, address: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(socket.socket, "bind", fail, raising=False)
    with pytest.raises(StartError) as caught:
        bind(Listen(path=path), "LISTEN")

    wanted = says.format(uid=os.getuid(), folder=os.path.dirname(path))
    assert str(caught.value).endswith(f"{wanted} choose another HEADWAY_LISTEN.")


def test_the_mode_is_right_from_the_first_moment(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Whatever the umask, the file has its mode as soon as it is there."""
    monkeypatch.setattr(os, "chmod", None)  # it would come after bind(), and that is too late
    for mask in (0o000, 0o077, 0o777):
        before = os.umask(mask)
        try:
            (sock,) = bind(Listen(path=path, mode=0o660), "LISTEN")
            assert os.stat(path).st_mode & 0o777 == 0o660
            assert os.umask(mask) == mask
            unbind(sock)
        finally:
            os.umask(before)


def test_a_link_is_somebodys(path: str) -> None:
    """A link is not removed, not even one to a socket file that was left behind."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path + ".old")
    os.symlink(path + ".old", path)

    with pytest.raises(StartError, match=f"{path} is there, and no socket: remove it, or choose another"):
        bind(Listen(path=path), "LISTEN")

    assert os.path.islink(path)


def test_a_file_that_another_process_has_put_there(opened: Open, path: str) -> None:
    """When we end, the file of a successor stays."""
    (ours,) = bind(Listen(path=path), "LISTEN")
    os.unlink(path)
    opened(Listen(path=path))

    unbind(ours)

    assert reaches_file(path)
