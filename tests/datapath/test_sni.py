"""The server's name is found in whatever a TLS client may send; nothing that anybody sends does harm."""

import ssl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.datapath.sni import server_name
from tests.datapath.tls import fragmented, hello, openssl, padded

NAME = "web-0.web.example"
HELLO = hello(NAME)
READ_BY_OPENSSL = openssl()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("name", ["a", NAME, "Web.EXAMPLE", "xn--bcher-kva.example", "x" * 63 + ".example"])
def test_name(name: str, version: ssl.TLSVersion) -> None:
    """The name is read from hellos of either version, in lower case, as names are compared."""
    assert server_name(hello(name, version)) == name.lower().encode()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("name", [None, "127.0.0.1", "::1"])
def test_no_name(name: str | None, version: ssl.TLSVersion) -> None:
    """A client that names nobody, or connects to a bare address (RFC 6066 3), has none."""
    assert server_name(hello(name, version)) == b""


def test_before_tls_1_2() -> None:
    """An old client has the version in another place, and its name where the new ones have it."""
    old = bytearray(hello(NAME, ssl.TLSVersion.TLSv1_2))
    old[1:3] = old[9:11] = b"\x03\x01"

    assert server_name(bytes(old)) == NAME.encode()


def test_no_extensions_at_all() -> None:
    """RFC 5246 7.4.1.2: a hello may end behind its fields; then it names nobody."""
    body = b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\x00\x2f" + b"\x01\x00"
    message = b"\x01" + len(body).to_bytes(3, "big") + body

    assert server_name(b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message) == b""


def test_not_yet() -> None:
    """With any part of a hello, more bytes are asked for; with what follows it, none."""
    assert {server_name(HELLO[:size]) for size in range(len(HELLO))} == {None}
    assert server_name(HELLO + b"\x14\x03\x03\x00\x01\x01") == NAME.encode()


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 100, 1000])
def test_spread_over_records(size: int) -> None:
    """RFC 8446 5.1: a message may come in any number of records, and is whole with the last of them only."""
    many = fragmented(HELLO, size)

    assert server_name(many) == NAME.encode()
    assert {server_name(many[:end]) for end in (*range(0, len(many), 13), len(many) - 1)} == {None}


def test_larger_than_a_record() -> None:
    """A hello of 20 KiB, as keys that withstand quantum computers may make it, is read as well."""
    assert server_name(padded(HELLO, 20_000)) == NAME.encode()


@pytest.mark.parametrize(
    "said",
    [
        *(b"G", b"GET / HTTP/1.1\r\n", b"PING", b"\x00\x00\x00\x08\x04\xd2\x16\x2f", b"SSH-2.0-OpenSSH\r\n"),
        *(b"\x16\x00", b"\x16P", b"\x16\x03\x01\x00\x05\x02"),  # another protocol, another message
        *(b"\x16\x03\x01\x00\x00", fragmented(HELLO, 100)[:105] + b"\x17"),  # RFC 8446 5.1 forbids both
        *(b"\x15\x03\x01\x00\x02\x02\x28", b"\x80\x2e\x01\x00\x02"),  # an alert, the hello of SSL 2
    ],
)
def test_no_tls(said: bytes) -> None:
    """What no TLS client would say is known at once: nobody waits for more of it."""
    assert server_name(said) == b""


def test_a_name_that_is_no_text() -> None:
    """Any bytes will do as a key."""
    assert server_name(HELLO.replace(b"web-0", b"\xff\xe9\0-0")) == b"\xff\xe9\0-0.web.example"


def test_a_name_that_ends_too_early() -> None:
    """Half a name would be a wrong key: a hello that is shorter than it says has none."""
    size = len(NAME).to_bytes(2, "big")

    assert server_name(HELLO.replace(size + NAME.encode(), b"\x00\xff" + NAME.encode())) == b""


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.binary(max_size=600))
def test_any_bytes(said: bytes) -> None:
    """Nothing raises, on its own or in the place of a hello's body."""
    for data in (said, b"\x16\x03\x01" + len(said).to_bytes(2, "big") + said, HELLO[:44] + said):
        assert isinstance(server_name(data), bytes | None)


Change = tuple[int, int, bytes]  # where, how much of it, by what


@st.composite
def changes(draw: st.DrawFn) -> Change:
    return draw(st.integers(0, len(HELLO))), draw(st.integers(0, 3)), draw(st.binary(max_size=3))


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=500)
@given(st.sampled_from([hello(NAME), hello(NAME, ssl.TLSVersion.TLSv1_2)]), st.lists(changes(), max_size=4))
def test_changed_hellos(data: bytes, some: list[Change]) -> None:
    """Whenever OpenSSL reads a name in a hello with bytes changed, added or lost, it is the one read here."""
    for at, size, new in some:
        data = data[:at] + new + data[at + size :]
    name = server_name(data)

    assert isinstance(name, bytes | None)
    if name is None or name.isascii():  # of others OpenSSL prints a traceback
        theirs = READ_BY_OPENSSL(data)
        assert theirs is None or theirs.lower().encode() == name
