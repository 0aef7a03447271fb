"""PROXY headers are read as the specification says, strictly; nothing does harm."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.model import Address
from proxy.policy.proxy_protocol import NOTHING, WRITERS, Header, Malformed, Read, read

V4 = Header(Address("192.0.2.7", 56324), Address("198.51.100.1", 443))
V6 = Header(Address("2001:db8::7", 1), Address("::1", 65535))
PROPERTY = settings(deadline=None, derandomize=True)
MAPPED = Header(Address("::ffff:192.0.2.7", 0), Address("::ffff:198.51.100.1", 80))
CHECK = Header(Address("192.0.2.7", 1), Address("192.0.2.8", 2), local=True)
MOST = 4096  # bytes of version 2
SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")  # 2.2


def v2(command: int, family: int, block: bytes) -> bytes:
    return SIGNATURE + bytes([command, family]) + len(block).to_bytes(2, "big") + block


V4_BLOCK = bytes([192, 0, 2, 7, 198, 51, 100, 1, 0xDC, 0x04, 0x01, 0xBB])

WRITTEN = [
    ("v1", V4, b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"),
    ("v1", V6, b"PROXY TCP6 2001:db8::7 ::1 1 65535\r\n"),
    ("v1", NOTHING, b"PROXY UNKNOWN\r\n"),
    ("v1", CHECK, b"PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\n"),
    (
        "v1",
        MAPPED,
        b"PROXY TCP6 %b:c000:0207 %b:c633:6401 0 80\r\n" % (2 * (b"0000:0000:0000:0000:0000:ffff",)),
    ),
    ("v2", V4, v2(0x21, 0x11, V4_BLOCK)),
    (
        "v2",
        V6,
        v2(0x21, 0x21, bytes.fromhex("20010db8" + "00" * 11 + "07" + "00" * 15 + "01" + "0001ffff")),
    ),
    ("v2", NOTHING, v2(0x20, 0x00, b"")),  # HAProxy refuses PROXY with UNSPEC
    ("v2", CHECK, v2(0x20, 0x00, b"")),
    ("v2", Header(local=True), v2(0x20, 0x00, b"")),
]


@pytest.mark.parametrize("version,header,text", WRITTEN)
def test_what_is_written(version: str, header: Header, text: bytes) -> None:
    """Byte for byte as the specification has it. A check is LOCAL, in version 1 with its own addresses."""
    assert WRITERS[version](header) == text


@pytest.mark.parametrize("version", WRITERS)
def test_a_zone_stays_at_home(version: str) -> None:
    """Which interface a link-local address is behind means nothing to the pod."""
    with_zone = Header(Address("fe80::1%eth0", 1), Address("fe80::2%7", 2))
    without = Header(Address("fe80::1", 1), Address("fe80::2", 2))

    assert WRITERS[version](with_zone) == WRITERS[version](without)


@pytest.mark.parametrize("version", WRITERS)
def test_addresses_of_two_families(version: str) -> None:
    """No header can say that: nothing is said."""
    mixed = Header(Address("192.0.2.7", 1), Address("::1", 2))

    assert WRITERS[version](mixed) == WRITERS[version](NOTHING)


READ = {  # beside all that is written
    b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n": NOTHING,
    b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n": NOTHING,  # 107 bytes
    b"PROXY TCP6 2001:DB8::7 0:0:0:0:0:0:0:1 1 65535\r\n": V6,
    b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:198.51.100.1 0 80\r\n": MAPPED,  # as nginx writes it
    v2(0x20, 0x11, V4_BLOCK): Header(local=True),
    v2(0x20, 0xFF, b"whatever"): Header(local=True),
    v2(0x21, 0x00, b"whatever"): NOTHING,
    v2(0x21, 0x12, V4_BLOCK): NOTHING,
    v2(0x21, 0x22, bytes(36)): NOTHING,
    v2(0x21, 0x31, bytes(216)): NOTHING,
    v2(0x21, 0x32, bytes(216)): NOTHING,
    v2(0x21, 0x11, V4_BLOCK + b"\x04\x00\x00" + b"\x02\x00\x03web"): V4,
    v2(0x21, 0x11, V4_BLOCK + b"\x04" + (MOST - 31).to_bytes(2, "big") + bytes(MOST - 31)): V4,  # 4096 bytes
}


@pytest.mark.parametrize("text", READ)
@pytest.mark.parametrize("rest", [b"", b"GET / HTTP/1.1\r\n\r\n", SIGNATURE, b"\0"])
def test_what_is_read(text: bytes, rest: bytes) -> None:
    """Both versions, with what follows left alone, TLVs passed over, and what is of no use as unknown."""
    assert read(text + rest) == Read(READ[text], len(text))


WRONG = [
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01",
    b"proxy TCP4 192.0.2.7 198.51.100.1 56324 443\r\n",
    b" PROXY UNKNOWN\r\n",
    b"PROXY\r\n",
    b"PROXY \r\n",
    b"PROXY  TCP4 192.0.2.7 198.51.100.1 56324 443\r\n",
    b"PROXY UNKNOWN\n",
    b"PROXY UNKNOWN \n\r\n",
    b"PROXY UNKNOWN \r\r\n",
    b"PROXY UNKNOWNS\r\n",
    b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
    b"PROXY UDP4 192.0.2.7 198.51.100.1 56324 443\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443 \r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\n",
    b"PROXY TCP4 192.0.2.7\t198.51.100.1 56324 443\r\n",
    b"PROXY TCP4 192.0.2.07 198.51.100.1 56324 443\r\n",
    b"PROXY TCP4 192.0.2 198.51.100.1 56324 443\r\n",
    b"PROXY TCP4 192.0.2.256 198.51.100.1 56324 443\r\n",
    b"PROXY TCP4 ::1 ::1 56324 443\r\n",
    b"PROXY TCP4 192.0.2.7 ::1 56324 443\r\n",
    b"PROXY TCP6 192.0.2.7 198.51.100.1 56324 443\r\n",
    b"PROXY TCP6 fe80::1%eth0 ::1 56324 443\r\n",
    b"PROXY TCP6 ::1:: ::1 56324 443\r\n",
    b"PROXY TCP6 00000::1 ::1 56324 443\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 -1\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 056324 443\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 +80 443\r\n",
    b"PROXY TCP4 192.0.2.7 198.51.100.1 5_6 443\r\n",
    b"PROXY TCP4 \xd9\xa1.0.2.7 198.51.100.1 1 443\r\n",
    SIGNATURE + b"\x11",
    SIGNATURE + b"\x31",
    v2(0x22, 0x11, V4_BLOCK),
    v2(0x21, 0x41, V4_BLOCK),
    v2(0x21, 0x13, V4_BLOCK),
    v2(0x21, 0x10, V4_BLOCK),
    v2(0x21, 0x01, V4_BLOCK),
    v2(0x21, 0x11, V4_BLOCK[:-1]),
    v2(0x21, 0x21, V4_BLOCK),
    v2(0x21, 0x31, bytes(215)),
    v2(0x21, 0x11, V4_BLOCK + b"\x04"),
    v2(0x21, 0x11, V4_BLOCK + b"\x04\x00"),
    v2(0x21, 0x11, V4_BLOCK + b"\x02\x00\x04web"),
    v2(0x21, 0x11, V4_BLOCK + b"\x04" + (MOST - 30).to_bytes(2, "big") + bytes(MOST - 30)),
    v2(0x20, 0x00, bytes(65535)),
]


@pytest.mark.parametrize("text", WRONG)
def test_what_is_refused(text: bytes) -> None:
    """Whatever does not match exactly, with the right bytes behind it or not."""
    for seen in (text, text + b"PROXY UNKNOWN\r\n"):
        with pytest.raises(Malformed):
            read(seen)


def test_refused_at_once() -> None:
    """No more is waited for than is needed to know: not the rest of a large header, nor of a long line."""
    for seen in (
        b"G",
        b"PROXZ",
        b"PROXY TCP4 192.0.2.7\n",
        SIGNATURE[:11] + b"\r",
        SIGNATURE + b"\x22",
        v2(0x20, 0x00, bytes(MOST))[:16],
    ):
        assert read(seen[:-1]) is None
        with pytest.raises(Malformed):
            read(seen)


# --- anything -----------------------------------------------------------------------------------

ports = st.integers(0, 65535)
v4s = st.builds(Address, st.integers(0, 2**32 - 1).map(lambda bits: str(IPv4Address(bits))), ports)
v6s = st.builds(
    Address,
    # from 2^96 on: Python writes ::ffff:1.2.3.4 in one way or another
    st.integers(2**96, 2**128 - 1).map(lambda bits: str(IPv6Address(bits))),
    ports,
)
headers = st.one_of(
    st.builds(Header, v4s, v4s), st.builds(Header, v6s, v6s), st.just(NOTHING), st.just(MAPPED)
)
versions = st.sampled_from(sorted(WRITERS))
texts = st.one_of(
    st.builds(lambda version, header: WRITERS[version](header), versions, headers),
    st.sampled_from(sorted(READ)),
)


@PROPERTY
@given(versions, headers, st.binary(max_size=200))
def test_what_was_written_is_read(version: str, header: Header, rest: bytes) -> None:
    """Each header comes back as it was, and not a byte of what follows it counts as its own."""
    text = WRITERS[version](header)

    expected = Header(local=True) if version == "v2" and header == NOTHING else header
    assert read(text + rest) == Read(expected, len(text))


@PROPERTY
@given(texts, st.data())
def test_cut_anywhere(text: bytes, data: st.DataObject) -> None:
    """A part of a header is never taken for one, nor for something else."""
    assert read(text[: data.draw(st.integers(0, len(text) - 1))]) is None


def fed(seen: bytes) -> Read | str | None:
    """What is found when it comes byte by byte."""
    for size in range(1, len(seen) + 1):
        found = outcome(seen[:size])
        if found is not None:
            return found
    return None


def outcome(seen: bytes) -> Read | str | None:
    try:
        return read(seen)
    except Malformed:
        return "malformed"


@PROPERTY
@given(texts, st.binary(max_size=6), st.data())
def test_changed_anywhere(text: bytes, other: bytes, data: st.DataObject) -> None:
    """With some bytes replaced it is a header, waited for or refused, the same byte by byte as at once."""
    at = data.draw(st.integers(0, min(len(text), 120)))
    changed = text[:at] + other + text[at + data.draw(st.integers(0, 6)) :]
    found = outcome(changed)

    assert fed(changed[:160]) == outcome(changed[:160])
    if isinstance(found, Read):
        assert found.size <= len(changed)
        assert found == read(changed[: found.size])


@PROPERTY
@given(st.binary(max_size=150))
def test_anything_at_all(seen: bytes) -> None:
    """Nothing that anybody sends does harm, be it behind the first bytes of a header."""
    for before in (b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11\x00\x0c"):
        assert fed(before + seen) == outcome(before + seen)
