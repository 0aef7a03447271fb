"""Reads and writes the header of the PROXY protocol, versions 1 and 2 (haproxy.org, doc/proxy-protocol.txt).

Not by a library: PyPI's proxy-protocol takes what that forbids (ports such as +80 or 0_8, lines of any
length), and costs 1.7 MiB in every pod.
"""

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

import msgspec

from proxy.model import Address

MOST_V1 = 107  # 2.1, the CRLF included
MOST = 4096  # of version 2, which may be 65551: room for certificates in TLVs, but not for a flood

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
FIXED = 16  # the part of version 2 that is always there
VERSION = 0x20
LOCAL, PROXY = 0, 1
UNSPEC, STREAM_V4, STREAM_V6 = 0x00, 0x11, 0x21
UDP_V4, UDP_V6, UNIX_STREAM, UNIX_DGRAM = 0x12, 0x22, 0x31, 0x32
SIZES = {UNSPEC: 0, STREAM_V4: 12, UDP_V4: 12, STREAM_V6: 36, UDP_V6: 36, UNIX_STREAM: 216, UNIX_DGRAM: 216}

_V1 = b"PROXY "
_PORT = rb"(0|[1-9][0-9]{0,4})"
_TCP = re.compile(
    rb"PROXY (?:TCP4 ([0-9.]+) ([0-9.]+)|TCP6 ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+)) %b %b" % (_PORT, _PORT)
)
_UNKNOWN = re.compile(rb"PROXY UNKNOWN(?: [^\r\n]*)?")


class Header(msgspec.Struct, frozen=True):
    """Who connected to what, where that is said. `local`: a proxy for itself, to check health perhaps."""

    source: Address | None = None
    destination: Address | None = None
    local: bool = False


NOTHING = Header()


class Read(NamedTuple):
    """A whole header, and how many bytes it was."""

    header: Header
    size: int


class Malformed(ValueError):
    """What came is no header, and will not become one."""


# --- in -----------------------------------------------------------------------------------------


def read(seen: bytes) -> Read | None:
    """The header that `seen` starts with; None while all of that belongs to it and more is missing.

    Raises Malformed.
    """
    if seen.startswith(SIGNATURE):
        return _read_v2(seen)
    if seen.startswith(_V1):
        return _read_v1(seen)
    if SIGNATURE.startswith(seen) or _V1.startswith(seen):
        return None
    raise Malformed("it does not begin as one")


def _read_v1(seen: bytes) -> Read | None:
    line, end, _ = seen[:MOST_V1].partition(b"\r\n")
    if not end:
        if len(seen) >= MOST_V1 or b"\n" in seen:
            raise Malformed(f"its line does not end by CRLF within {MOST_V1} bytes")
        return None
    size = len(line) + len(end)
    if _UNKNOWN.fullmatch(line):
        return Read(NOTHING, size)
    match = _TCP.fullmatch(line)
    if match is None:
        raise Malformed("its line is none of version 1")
    v4_source, v4_destination, v6_source, v6_destination, *ports = match.groups()
    kind: type[IPv4Address | IPv6Address] = IPv4Address if v4_source else IPv6Address
    ips = (v4_source or v6_source, v4_destination or v6_destination)
    try:
        source, destination = (_parsed(kind, *each) for each in zip(ips, ports, strict=True))
    except ValueError:
        raise Malformed("its line has a wrong address") from None
    return Read(Header(source, destination), size)


def _parsed(kind: type[IPv4Address | IPv6Address], ip: bytes, port: bytes) -> Address:
    if int(port) > 0xFFFF:
        raise ValueError
    return Address(_shown(kind(ip.decode())), int(port))


def _shown(ip: IPv4Address | IPv6Address) -> str:
    """As the kernel writes it; Python's way with ::ffff:1.2.3.4 changed in 3.13."""
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return f"::ffff:{mapped}" if mapped is not None else str(ip)


def _read_v2(seen: bytes) -> Read | None:
    if len(seen) > len(SIGNATURE) and seen[12] not in (VERSION | LOCAL, VERSION | PROXY):
        raise Malformed(f"version and command are 0x{seen[12]:02x}")
    if len(seen) < FIXED:
        return None
    command, family = seen[12] & 0xF, seen[13]
    size = FIXED + int.from_bytes(seen[14:16], "big")
    if size > MOST:
        raise Malformed(f"its {size} bytes are more than {MOST}")
    if command == PROXY and size - FIXED < SIZES.get(family, size):
        raise Malformed(f"family 0x{family:02x} with {size - FIXED} bytes")
    if len(seen) < size:
        return None
    if command == LOCAL:  # 2.2: the receiver must discard the rest, the family included
        return Read(Header(local=True), size)
    if family != UNSPEC:
        _walk(seen[FIXED + SIZES[family] : size])
    return Read(_of_family(family, seen[FIXED:size]), size)


def _walk(tlvs: bytes) -> None:
    """Nothing is asked of what they say, but they have to fill their place."""
    at = 0
    while at < len(tlvs):
        at += 3 + int.from_bytes(tlvs[at + 1 : at + 3], "big")
    if at != len(tlvs):
        raise Malformed("its last TLV is cut off")


def _of_family(family: int, block: bytes) -> Header:
    """2.2: combinations that are valid and of no use here count as UNSPEC."""
    if family not in (STREAM_V4, STREAM_V6):
        return NOTHING
    width = 4 if family == STREAM_V4 else 16
    source, destination = (_shown(ip_address(block[at : at + width])) for at in (0, width))
    ports = block[2 * width : 2 * width + 4]
    return Header(
        Address(source, int.from_bytes(ports[:2], "big")),
        Address(destination, int.from_bytes(ports[2:], "big")),
    )


# --- out ----------------------------------------------------------------------------------------


def version_1(header: Header) -> bytes:
    """2.1: a health check fills in its own addresses, as some receivers reject UNKNOWN."""
    if (ends := _ends(header)) is None:
        return b"PROXY UNKNOWN\r\n"
    source, destination = ends
    family = "TCP6" if ":" in source.ip else "TCP4"
    ips = f"{_in_hex(source.ip)} {_in_hex(destination.ip)}"
    return f"PROXY {family} {ips} {source.port} {destination.port}\r\n".encode()


def version_2(header: Header) -> bytes:
    """Who is unknown becomes LOCAL, as HAProxy has it, which refuses PROXY with UNSPEC (2.6)."""
    ends = _ends(header)
    if header.local or ends is None:
        return SIGNATURE + bytes([VERSION | LOCAL, UNSPEC, 0, 0])
    family = STREAM_V6 if ":" in ends[0].ip else STREAM_V4
    block = b"".join([*(_packed(end.ip) for end in ends), *(end.port.to_bytes(2, "big") for end in ends)])
    return SIGNATURE + bytes([VERSION | PROXY, family, 0, SIZES[family]]) + block


WRITERS: dict[str, Callable[[Header], bytes]] = {"v1": version_1, "v2": version_2}


def _ends(header: Header) -> tuple[Address, Address] | None:
    """Both, of one family; None where they are not known. Each new connection pays for what is done here."""
    if header.source is None or header.destination is None:
        return None
    (ip, port), (own_ip, own_port) = header.source, header.destination
    if (":" in ip) != (":" in own_ip):
        return None
    # A zone means nothing elsewhere.
    return Address(ip.partition("%")[0], port), Address(own_ip.partition("%")[0], own_port)


def _in_hex(ip: str) -> str:
    """2.1: version 6 in hexadecimal and colons only, so not as ::ffff:1.2.3.4."""
    return IPv6Address(ip).exploded if ":" in ip and "." in ip else ip


def _packed(ip: str) -> bytes:
    return IPv6Address(ip).packed if ":" in ip else bytes(map(int, ip.split(".")))
