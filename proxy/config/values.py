"""Turns the text of one setting into its value: durations, shares, words, addresses."""

import contextlib
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
_FACTORY = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_WHOLE = re.compile(r"-?[0-9]+")
_SHARE = re.compile(r"([0-9]+(?:\.[0-9]+)?)%")


class Kind(msgspec.Struct, Generic[T], frozen=True):
    """A kind of value: `parse` raises ValueError with the problem; `allowed` says what would be right."""

    parse: Callable[[str], T]
    allowed: str
    show: Callable[[T], str] = str


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


def share(low: int = 0, high: int = 100, *, zero: str = "") -> Kind[float]:
    """A share of 1, written in per cent; `zero` says what 0 means where it is allowed below `low`."""

    def parse(text: str) -> float:
        if zero and text in ("0", "0%"):
            return 0.0
        match = _SHARE.fullmatch(text)
        if match is None:
            raise ValueError("is not a share")
        if not low <= float(match[1]) <= high:
            raise ValueError("is out of range")
        return round(float(match[1]) / 100, 6)

    allowed = f"a share such as {max(50, low)}%, from {low}% to {high}%"
    return Kind(parse, allowed + (f", or 0 = {zero}" if zero else ""), lambda part: f"{part * 100:.7g}%")


def share_or_off(low: int, high: int) -> Kind[float]:
    """A share above 0, or 0 for off."""
    part = share(low, high)
    return Kind(
        lambda text: 0.0 if text.lower() == "off" else part.parse(text),
        f"off, or {part.allowed}",
        lambda value: part.show(value) if value else "off",
    )


def count(low: int, high: int, *, zero: str = "") -> Kind[int]:
    def parse(text: str) -> int:
        if not _WHOLE.fullmatch(text):
            raise ValueError("is not a whole number")
        if not low <= int(text) <= high:
            raise ValueError("is out of range")
        return int(text)

    return Kind(parse, f"a whole number from {low} to {high}" + (f" (0 = {zero})" if zero else ""))


def count_or_auto(low: int, high: int, *, zero: str = "") -> Kind[int | None]:
    number = count(low, high, zero=zero)
    return Kind(
        lambda text: None if text.lower() == "auto" else number.parse(text),
        f"{number.allowed}, or auto",
        lambda value: "auto" if value is None else str(value),
    )


def _status_range(text: str) -> range:
    low, _, high = text.strip().partition("-")
    try:
        found = range(int(low), int(high or low) + 1)
    except ValueError:
        raise ValueError(f"has {text!r}, which is not an HTTP status") from None
    if not (found and found.start >= 100 and found.stop <= 600):
        raise ValueError(f"has {text!r}, which is no range of HTTP statuses")
    return found


statuses: Kind[tuple[range, ...]] = Kind(
    lambda text: tuple(map(_status_range, text.split(","))),
    "HTTP statuses from 100 to 599 and ranges of them, such as 200-299,404",
    lambda ranges: ",".join(f"{r[0]}-{r[-1]}" if len(r) > 1 else str(r[0]) for r in ranges),
)


# --- words --------------------------------------------------------------------------------------

E = TypeVar("E", bound=StrEnum)


class _Flag(StrEnum):
    TRUE = "true"
    FALSE = "false"


def one_of(enum: type[E]) -> Kind[E]:
    words = [member.value for member in enum]

    def parse(text: str) -> E:
        try:
            return enum(text.lower())
        except ValueError:
            raise ValueError("is not known" + nearest(text.lower(), words)) from None

    return Kind(parse, ", ".join(words))


def one_of_or_own(enum: type[E]) -> Kind[str]:
    """A word of `enum`, or `module:factory` for code of the user's own, which is not looked for here."""
    words = one_of(enum)

    def parse(text: str) -> str:
        return text if _FACTORY.fullmatch(text) else words.parse(text).value

    return Kind(parse, f"{words.allowed}, or module:factory for one of your own")


flag: Kind[bool] = Kind(
    lambda text: one_of(_Flag).parse(text) is _Flag.TRUE, "true, false", lambda on: str(on).lower()
)


def nearest(word: str, known: list[str], prefix: str = "") -> str:
    """A hint at the known word that was probably meant, shown after `prefix`; or nothing."""
    import difflib  # only a mistake pays for it

    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {prefix}{close[0]}?" if close else ""


def _like(pattern: re.Pattern[str], allowed: str) -> Kind[str]:
    def parse(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError("has characters that do not belong there")
        return text

    return Kind(parse, allowed)


# RFC 3986: what a path with its query, and a host with its port, may consist of.
_characters = _like(re.compile(r"/[\w.~!$&'()*+,;=:@%/?-]*", re.ASCII), "a path such as /healthz?full=1")


def _path(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError("must start with /")
    return _characters.parse(text)


path: Kind[str] = Kind(_path, _characters.allowed)
host_header = _like(re.compile(r"(\[[0-9A-Fa-f:.]+\]|[\w.~-]+)(:[0-9]{1,5})?", re.ASCII), "host or host:port")
plain_text: Kind[str] = Kind(lambda text: text, "any printable text")


# --- addresses ----------------------------------------------------------------------------------


def port_number(text: str, low: int = 1) -> int:
    if not (text.isascii() and text.isdigit() and low <= int(text) <= 65535):
        raise ValueError(f"has a wrong port {text!r} (a port is {low} to 65535)")
    return int(text)


def split(text: str) -> tuple[str, str]:
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


def ip(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError(f"has {text!r}, which is not an ip address") from None


def address(text: str) -> Address:
    """An `ip:port`."""
    host, port = split(text)
    return Address(ip(host), port_number(port))


Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        if "%" in text:  # a zone, which belongs to one host
            raise ValueError
        return ipaddress.ip_network(text)
    except ValueError as error:
        host_bits = " (its host bits must be 0)" if "host bits" in str(error) else ""
        raise ValueError(f"has {text!r}, which is no address or network{host_bits}") from None


networks: Kind[Networks] = Kind(
    lambda text: tuple(_network(part.strip()) for part in text.split(",")),
    "addresses and networks such as 10.0.0.0/8, several with commas",
    lambda networks: ",".join(map(str, networks or ())),
)


def _nameserver(text: str) -> Address:
    with contextlib.suppress(ValueError):
        return Address(str(ipaddress.ip_address(text)), 53)
    if ":" not in text:
        raise ValueError(f"has {text!r}, which is not an ip address")
    return address(text)


nameservers: Kind[tuple[Address, ...]] = Kind(
    lambda text: tuple(_nameserver(part.strip()) for part in text.split(",")),
    "ip[:port] or [v6]:port, several with commas",
    lambda servers: ",".join(map(str, servers)) or "resolv.conf",
)
