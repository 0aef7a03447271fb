"""Turns the text of one setting into its value: durations, shares, addresses, targets."""

import ipaddress
import re
from collections.abc import Callable
from enum import StrEnum
from typing import Generic, TypeVar

import msgspec

from proxy.model import Address

T = TypeVar("T")

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_SHARE = re.compile(r"([0-9]+(?:\.[0-9]+)?)%")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")


class Kind(msgspec.Struct, Generic[T], frozen=True):
    """A kind of value: `parse` raises ValueError with the problem; `allowed` says what would be right."""

    parse: Callable[[str], T]
    allowed: str
    show: Callable[[T], str] = str


_EVERY = ("0.0.0.0", "::")  # of IPv4, of IPv6
_IPS = {"": _EVERY, "localhost": ("127.0.0.1", "::1")}


class Listen(msgspec.Struct, frozen=True):
    """`host` and `port` (host "" = every address, both families), or the `path` of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def clashes(self, other: "Listen") -> bool:
        """Whether only one of the two can be open at a time."""
        if self.path or other.path:
            return self.path == other.path
        return self.port == other.port != 0 and any(
            mine == its or _EVERY[":" in mine] in (mine, its)
            for mine in _IPS.get(self.host, (self.host,))
            for its in _IPS.get(other.host, (other.host,))
            if (":" in mine) == (":" in its)
        )


class DnsTarget(msgspec.Struct, frozen=True):
    """Pods behind a name's A and AAAA records. A trailing dot in `host` means: no search list."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class StaticTarget(msgspec.Struct, frozen=True):
    """Pods that are simply listed."""

    addresses: tuple[Address, ...]

    def __str__(self) -> str:
        return "static://" + ",".join(map(str, self.addresses))


Target = DnsTarget | StaticTarget


# --- numbers ------------------------------------------------------------------------------------


def duration(low: str, high: str, *, zero: str = "") -> Kind[float]:
    """Seconds, from `low` to `high`; `zero` says what 0 means where it is allowed."""
    low_s, high_s = _seconds(low), _seconds(high)

    def parse(text: str) -> float:
        if zero and text == "0":
            return 0.0
        seconds = _seconds(text)
        if not low_s <= seconds <= high_s and not (zero and seconds == 0):
            raise ValueError("is out of range")
        return round(seconds, 6)  # to the microsecond, so that it can be shown in full

    allowed = f"a duration such as 250ms, 5s or 1m, from {low} to {high}"
    return Kind(parse, allowed + (f", or 0 = {zero}" if zero else ""), _show_seconds)


def _seconds(text: str) -> float:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("is not a duration")
    return float(match[1]) * _UNITS[match[2]]


def _show_seconds(seconds: float) -> str:
    for unit in ("h", "m", "s"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{seconds / _UNITS[unit]:.0f}{unit}"
    return f"{seconds * 1000:.13g}ms" if seconds else "0"


def share(low: int = 0, high: int = 100) -> Kind[float]:
    """A share of 1, written in per cent."""

    def parse(text: str) -> float:
        match = _SHARE.fullmatch(text)
        if match is None:
            raise ValueError("is not a share")
        if not low <= float(match[1]) <= high:
            raise ValueError("is out of range")
        return round(float(match[1]) / 100, 6)

    return Kind(parse, f"a share such as 50%, from {low}% to {high}%", lambda part: f"{part * 100:.7g}%")


def count(low: int, high: int, *, zero: str = "") -> Kind[int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit()):
            raise ValueError("is not a whole number")
        if not low <= int(text) <= high:
            raise ValueError("is out of range")
        return int(text)

    return Kind(parse, f"a whole number from {low} to {high}" + (f" (0 = {zero})" if zero else ""))


# --- words --------------------------------------------------------------------------------------

E = TypeVar("E", bound=StrEnum)


def one_of(enum: type[E]) -> Kind[E]:
    words = [member.value for member in enum]

    def parse(text: str) -> E:
        try:
            return enum(text.lower())
        except ValueError:
            raise ValueError("is not known" + nearest(text.lower(), words)) from None

    return Kind(parse, ", ".join(words))


def nearest(word: str, known: list[str], prefix: str = "") -> str:
    """A hint at the known word that was probably meant, shown after `prefix`; or nothing."""
    import difflib  # only a mistake pays for it

    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {prefix}{close[0]}?" if close else ""


plain_text: Kind[str] = Kind(lambda text: text, "any printable text")


# --- addresses ----------------------------------------------------------------------------------


def _port(text: str, low: int = 1) -> int:
    if not (text.isascii() and text.isdigit() and low <= int(text) <= 65535):
        raise ValueError(f"has a wrong port {text!r} (a port is {low} to 65535)")
    return int(text)


def _split(text: str) -> tuple[str, str]:
    """`host:port` or `[v6]:port` as its two halves, brackets gone."""
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError("has no port")
    if host.startswith("[") and host.endswith("]"):
        try:
            return str(ipaddress.IPv6Address(host[1:-1])), port
        except ValueError:
            raise ValueError(f"has {host!r}, which is not an IPv6 address") from None
    if ":" in host:
        raise ValueError("is not clear: write an IPv6 address in brackets, such as [::1]:8080")
    return host, port


def _ip(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError(f"has {text!r}, which is not an ip address") from None


def address(text: str) -> Address:
    """An `ip:port`."""
    host, port = _split(text)
    return Address(_ip(host), _port(port))


def _listen(text: str) -> Listen:
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        # sun_path holds 108 bytes with its NUL: unix(7)
        if not path.startswith("/") or len(path.encode()) > 107:
            raise ValueError("needs an absolute path of at most 107 bytes after unix:")
        return Listen(path=path)
    host, port = _split(text)
    if host not in ("", "localhost"):
        host = _ip(host)
    return Listen(host, _port(port, low=0))


listen: Kind[Listen] = Kind(
    _listen,
    "ip:port, [v6]:port, localhost:port, :port (every address) or unix:/path; port 0 takes a free one",
)
listen_or_off: Kind[Listen | None] = Kind(
    lambda text: None if text == "off" else _listen(text),
    listen.allowed + "; or off",
    lambda listen: "off" if listen is None else str(listen),
)


def _nameserver(text: str) -> Address:
    try:
        return Address(str(ipaddress.ip_address(text)), 53)
    except ValueError:
        return address(text)


nameservers: Kind[tuple[Address, ...]] = Kind(
    lambda text: tuple(_nameserver(part.strip()) for part in text.split(",")),
    "ip[:port] or [v6]:port, several with commas",
    lambda servers: ",".join(map(str, servers)) or "resolv.conf",
)


# --- targets ------------------------------------------------------------------------------------


def _target(text: str) -> Target:
    scheme, found, rest = text.partition("://")
    if not found:
        return _dns_target(text)
    if scheme == "static":
        # dict: order stays, a pod named twice is one pod
        return StaticTarget(tuple(dict.fromkeys(address(part.strip()) for part in rest.split(","))))
    raise ValueError(f"has the scheme {scheme}://, which is not known")


def _dns_target(text: str) -> Target:
    host, port = _split(text)
    number = _port(port)
    try:
        return StaticTarget((Address(str(ipaddress.ip_address(host)), number),))
    except ValueError:
        return DnsTarget(_hostname(host), number)


def _hostname(text: str) -> str:
    if not text.isascii():
        raise ValueError("has letters outside ASCII; write the name in its xn-- form")
    name = text.lower()
    labels = name.removesuffix(".").split(".")
    if len(".".join(labels)) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f"has {text!r}, which is not a host name")
    if labels[-1].isdigit():
        raise ValueError(f"has {text!r}, which is neither an ip address nor a host name")
    return name


target: Kind[Target] = Kind(
    _target, "host:port (the port is the pods' targetPort) or static://ip:port,ip:port"
)
