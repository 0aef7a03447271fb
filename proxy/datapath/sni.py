"""Reads which server a TLS client names in its first message. Knows no sockets.

By hand: Python's OpenSSL prints a traceback for each name that is not ASCII, does not look into hellos older
than TLS 1.2, and takes four times as long. The tests hold this against it.
"""

HANDSHAKE = b"\x16\x03"  # RFC 8446 5.1: the kind of a record, and what all versions start with
CLIENT_HELLO = b"\x01"  # 4: of a handshake message
SERVER_NAME = b"\x00\x00"  # RFC 6066 3: of an extension
HOST_NAME = b"\x00"  # of a name in it
RECORD_HEAD, MESSAGE_HEAD = 5, 4
VERSION_AND_RANDOM = 2 + 32


class _NotAHello(Exception):
    """No client of TLS speaks like this."""


class _Fields:
    """What is left of a message, to be taken off from the front."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, size: int) -> bytes:
        self._at += size
        if self._at > len(self._data):
            raise _NotAHello
        return self._data[self._at - size : self._at]

    def take_sized(self, width: int) -> bytes:
        """A field after its own size, which is `width` bytes wide."""
        return self.take(int.from_bytes(self.take(width), "big"))


def server_name(seen: bytes) -> bytes | None:
    """The name in the first bytes of a connection, in lower case; empty when there is none or no TLS.

    None while it takes more bytes to tell.
    """
    try:
        hello = _hello(seen)
        return None if hello is None else _name(_Fields(hello)).lower()
    except _NotAHello:
        return b""


def _hello(seen: bytes) -> bytes | None:
    """The body of the ClientHello out of its records, of which RFC 8446 5.1 allows any number."""
    message = bytearray()
    start = 0
    while start < len(seen):
        body = start + RECORD_HEAD
        end = body + int.from_bytes(seen[start + 3 : body], "big")
        if not HANDSHAKE.startswith(seen[start : start + 2]) or end == body <= len(seen):
            raise _NotAHello  # an empty record is none either
        message += seen[body:end]
        if message and not message.startswith(CLIENT_HELLO):
            raise _NotAHello
        size = MESSAGE_HEAD + int.from_bytes(message[1:MESSAGE_HEAD], "big")
        if len(message) >= size:
            return bytes(message[MESSAGE_HEAD:size])
        start = end
    return None


def _name(hello: _Fields) -> bytes:
    """RFC 8446 4.1.2: versions before TLS 1.2 have the same fields, and perhaps no extensions."""
    hello.take(VERSION_AND_RANDOM)
    for width in (1, 2, 1):  # the session's id, cipher suites, ways to compress
        hello.take_sized(width)
    extensions = _Fields(hello.take_sized(2))
    while extensions:
        kind, extension = extensions.take(2), extensions.take_sized(2)
        if kind == SERVER_NAME:
            names = _Fields(_Fields(extension).take_sized(2))
            if names.take(1) == HOST_NAME:  # the only kind there is
                return names.take_sized(2)
    return b""
