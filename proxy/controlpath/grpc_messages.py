"""Writes and reads the two messages of grpc.health.v1, which need no protobuf library. Pure.

protobuf.dev/programming-guides/encoding: a field is a varint of (number << 3 | wire type) and its value.
"""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
FIELD_1 = 1 << 3
VARINT_LONGEST = 10
PREFIX = 5  # gRPC: a flag "compressed", and the length in four bytes


def check_request(service: str) -> bytes:
    """HealthCheckRequest {string service = 1}; the default, no service, is not written."""
    name = service.encode()
    return bytes([FIELD_1 | BYTES]) + _varint(len(name)) + name if name else b""


def serving_status(message: bytes) -> int:
    """HealthCheckResponse {ServingStatus status = 1}: the last one counts. ValueError when it is none."""
    status, at = 0, 0
    while at < len(message):
        key, at = _read_varint(message, at)
        if key == FIELD_1 | VARINT:
            status, at = _read_varint(message, at)
        else:
            at = _skip(message, at, key)
    return status & 0xFFFFFFFF  # an enum is an int32, written as 64 bits


def framed(message: bytes) -> bytes:
    """As gRPC sends it, uncompressed."""
    return b"\0" + len(message).to_bytes(4) + message


def unframed(body: bytes) -> bytes:
    """The one message of a reply. ValueError when there is none, or not one alone."""
    if len(body) < PREFIX or body[0] != 0 or len(body) != PREFIX + int.from_bytes(body[1:PREFIX]):
        raise ValueError("not one message")
    return body[PREFIX:]


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    """The number, and where the next thing begins."""
    number = 0
    for place, byte in enumerate(message[at : at + VARINT_LONGEST]):
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return number, at + place + 1
    raise ValueError("a number does not end")


def _skip(message: bytes, at: int, key: int) -> int:
    """Behind the value of a field that nobody asked for."""
    kind = key & 7
    if key >> 3 == 0 or kind not in (VARINT, FIXED64, BYTES, FIXED32):
        raise ValueError("not a field")
    if kind == VARINT:
        return _read_varint(message, at)[1]
    length = {FIXED64: 8, FIXED32: 4}.get(kind, 0)
    if kind == BYTES:
        length, at = _read_varint(message, at)
    if at + length > len(message):
        raise ValueError("a field is cut off")
    return at + length
