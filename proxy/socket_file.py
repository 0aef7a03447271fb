"""The files of Unix sockets: made with the right mode at once, and removed only by those whose they are."""

import contextlib
import errno
import os
import socket
import stat
from weakref import WeakKeyDictionary

# As open as a port on loopback: the application rarely has our uid.
MODE = 0o666

# The path and which file it was. A closed socket no longer tells, and the server of the pages closes its own.
_files: WeakKeyDictionary[socket.socket, tuple[str, int, int]] = WeakKeyDictionary()


def bind_to(sock: socket.socket, path: str, mode: int | None) -> None:
    """Raises OSError. A file that a killed process left behind is replaced, anything else is not."""
    _remove_stale(path)
    before = os.umask(0o777 & ~(MODE if mode is None else mode))  # chmod() afterwards would come too late
    try:
        sock.bind(path)
    finally:
        os.umask(before)
    _files[sock] = (path, *_which(path))


def remove(sock: socket.socket) -> None:
    """Remove the file of `sock`, if it has one, that is still the same and not another process'."""
    path, *which = _files.pop(sock, ("", 0, 0))
    with contextlib.suppress(OSError):
        if path and list(_which(path)) == which:
            os.unlink(path)


def _which(path: str) -> tuple[int, int]:
    status = os.lstat(path)
    return status.st_dev, status.st_ino


def _is_socket(path: str) -> bool:
    """Not a link to one: that is somebody's, too."""
    try:
        return stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return False


def _remove_stale(path: str) -> None:
    if not _is_socket(path):
        return
    found = _which(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a listener whose backlog is full is alive, and would keep us waiting
        refused = probe.connect_ex(path) == errno.ECONNREFUSED
    if refused and _which(path) == found:
        os.unlink(path)


def advice(error: OSError, path: str) -> str:
    """What to do about it; nothing if that is not known."""
    folder = os.path.dirname(path)
    match error.errno:
        case errno.EADDRINUSE if not _is_socket(path):
            return f"{path} is there, and no socket: remove it, or"
        case errno.ENOENT | errno.ENOTDIR:
            return f"There is no directory {folder}: mount a volume there, or"
        case errno.EACCES | errno.EPERM:
            return f"User {os.getuid()} may not write to {folder}: give it the right to, or"
        case errno.EROFS:
            return f"{folder} is on a read-only file system: mount a volume there, or"
    return ""
