"""Where to listen: one address with its options, or several of them."""

import re
from typing import Any

import msgspec

from proxy.config.values import Kind, ip, nearest, port_number, split

_EVERY = ("0.0.0.0", "::")  # of IPv4, of IPv6
_IPS = {"": _EVERY, "localhost": ("127.0.0.1", "::1")}
PATH_BYTES_MAX = 107  # sun_path holds 108 with its NUL: unix(7)
BACKLOG_MAX = 65535
_MODE = re.compile(r"0?[0-7]{3}")
WRITE = 0o222  # unix(7): who connects needs it


class Listen(msgspec.Struct, frozen=True):
    """`host` and `port` (host "" = every address, both families), or the `path` of a Unix socket.

    Options that are not given leave the default to those who listen.
    """

    host: str = ""
    port: int = 0
    path: str = ""
    mode: int | None = None  # of the Unix socket's file
    backlog: int | None = None
    reuseport: bool = False

    @property
    def where(self) -> str:
        """The address alone."""
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        options = [
            *([] if self.mode is None else [f"mode={self.mode:04o}"]),
            *([] if self.backlog is None else [f"backlog={self.backlog}"]),
            *(["reuseport"] if self.reuseport else []),
        ]
        return self.where + ("?" + "&".join(options) if options else "")

    def clashes(self, other: "Listen") -> bool:
        """Whether only one of the two can be open at a time."""
        if self.path or other.path:
            return self.path == other.path
        return self.port == other.port != 0 and any(
            mine == its or _EVERY[":" in mine] in (mine, its)
            for mine in self.ips
            for its in other.ips
            if (":" in mine) == (":" in its)
        )

    @property
    def ips(self) -> tuple[str, ...]:
        """The addresses that `host` stands for."""
        return _IPS.get(self.host, (self.host,))


def _listen(text: str) -> Listen:
    address, asked, options = text.partition("?")
    if address.startswith("unix:"):
        path = address.removeprefix("unix:")
        if not path.startswith("/") or len(path.encode()) > PATH_BYTES_MAX:
            raise ValueError(f"needs an absolute path of at most {PATH_BYTES_MAX} bytes after unix:")
        return Listen(path=path, **(_options(options, _OF_UNIX) if asked else {}))
    host, port = split(address)
    if host not in _IPS:
        host = ip(host)
    number = port_number(port, low=0)
    return Listen(host, number, **(_options(options, _OF_TCP) if asked else {}))


def _options(text: str, allowed: tuple[str, ...]) -> dict[str, Any]:
    """Written as in a URL: `mode=0660&backlog=512`."""
    found: dict[str, Any] = {}
    for part in text.split("&"):
        name = part.partition("=")[0]
        if name not in _OPTIONS:
            raise ValueError(f"has an option {name!r}, which is not known{nearest(name, [*_OPTIONS])}")
        if name not in allowed:
            raise ValueError(f"has an option {name}, which is for {_FOR[name]} only")
        if name in found:
            raise ValueError(f"has the option {name} twice")
        found[name] = _OPTIONS[name](part.removeprefix(name))
    return found


def _mode(text: str) -> int:
    digits = text.removeprefix("=")
    if not (text.startswith("=") and _MODE.fullmatch(digits)):
        raise ValueError(f"has a wrong mode {digits!r} (three octal digits, such as 0660)")
    mode = int(digits, 8)
    if not mode & WRITE:
        raise ValueError(f"has mode {digits}, with which nobody could connect (w: 0666 all, 0660 a group)")
    return mode


def _backlog(text: str) -> int:
    digits = text.removeprefix("=")
    is_number = text.startswith("=") and digits.isascii() and digits.isdigit()
    if not (is_number and 1 <= int(digits) <= BACKLOG_MAX):
        raise ValueError(f"has a wrong backlog {digits!r} (1 to {BACKLOG_MAX})")
    return int(digits)


def _reuseport(text: str) -> bool:
    if text:
        raise ValueError("has a value for reuseport, which takes none")
    return True


# As nginx and HAProxy call them.
_OPTIONS = {"mode": _mode, "backlog": _backlog, "reuseport": _reuseport}
_OF_UNIX, _OF_TCP = ("mode", "backlog"), ("backlog", "reuseport")
_FOR = {"mode": "Unix sockets", "reuseport": "TCP"}


def _listens(text: str) -> tuple[Listen, ...]:
    """What is wrong with one of several is said of that one."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) == 1:
        return (_listen(text),)
    found: list[Listen] = []
    for part in parts:
        if not part:
            raise ValueError("has a comma without an address")
        try:
            listen = _listen(part)
        except ValueError as problem:
            raise ValueError(f"{part} {problem}") from None
        for other in found:
            if listen.clashes(other):
                raise ValueError(f"{part} needs what {other.where} has already")
        found.append(listen)
    return tuple(found)


_ADDRESS = "ip:port, [v6]:port, localhost:port, :port (every address) or unix:/path; port 0 takes a free one"
_WITH = "behind it ?backlog=512, ?reuseport (TCP), ?mode=0660 (unix), joined by &"

listen: Kind[Listen] = Kind(_listen, f"{_ADDRESS}; {_WITH}")
listens: Kind[tuple[Listen, ...]] = Kind(
    _listens,
    f"{_ADDRESS}; several with commas; {_WITH}",
    lambda listens: ",".join(map(str, listens or ())),
)
listen_or_off: Kind[Listen | None] = Kind(
    lambda text: None if text == "off" else _listen(text),
    f"{listen.allowed}; or off",
    lambda listen: "off" if listen is None else str(listen),
)
