"""The two messages of grpc.health.v1, byte by byte and against protobuf's own code."""

import pytest
from google.protobuf.message import DecodeError
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from hypothesis import given
from hypothesis import strategies as st

from proxy.controlpath.grpc_messages import check_request, framed, serving_status, unframed


@pytest.mark.parametrize(
    "service,message",
    [
        ("", b""),
        ("orders", b"\x0a\x06orders"),
        ("x" * 200, b"\x0a\xc8\x01" + b"x" * 200),
        ("ä", b"\x0a\x02\xc3\xa4"),
    ],
)
def test_requests(service: str, message: bytes) -> None:
    """One field, or none for the server as a whole."""
    assert check_request(service) == message


@pytest.mark.parametrize(
    "message,status",
    [
        (b"", 0),
        (b"\x08\x01", 1),
        (b"\x08\x02", 2),
        (b"\x08\x03", 3),
        (b"\x08\x02\x08\x01", 1),  # the last one counts
        (b"\x12\x03abc\x08\x01", 1),  # fields of a later version are passed over
        (b"\x11abcdefgh\x1dabcd\x20\x96\x01\x08\x01", 1),
        (b"\x08\x81\x80\x80\x80\x00", 1),  # longer than it need be
    ],
)
def test_statuses(message: bytes, status: int) -> None:
    """The status is what protobuf would read."""
    assert serving_status(message) == status


@pytest.mark.parametrize(
    "message",
    [b"\x08", b"\x08\x80", b"\x08" + b"\x80" * 11, b"\x12\x05abc", b"\x00\x01", b"\x0f\x01", b"\x11abc"],
)
def test_broken_messages(message: bytes) -> None:
    """What is cut off or no protobuf is an error, not a status."""
    with pytest.raises(ValueError):
        serving_status(message)


@given(st.text())
def test_requests_as_protobuf_writes_them(service: str) -> None:
    assert check_request(service) == HealthCheckRequest(service=service).SerializeToString()


@given(st.integers(-(2**31), 2**31 - 1))
def test_statuses_as_protobuf_writes_them(status: int) -> None:
    message = HealthCheckResponse(status=status).SerializeToString()

    assert serving_status(message) == status % 2**32


@given(st.binary(max_size=30))
def test_any_bytes_as_protobuf_reads_them(message: bytes) -> None:
    """Whatever protobuf can read gives the same status here."""
    try:
        theirs = HealthCheckResponse.FromString(message).status
    except DecodeError:
        return
    try:
        ours = serving_status(message)
    except ValueError:
        assert any(byte & 7 in (3, 4) for byte in message)  # groups, which nobody sends any more
        return

    assert ours == theirs % 2**32


@given(st.binary(max_size=300))
def test_frames(message: bytes) -> None:
    """What is framed comes out again; nothing less or more does."""
    assert unframed(framed(message)) == message
    for wrong in (framed(message)[:-1], framed(message) + b"x", b"\1" + framed(message)[1:], b""):
        with pytest.raises(ValueError):
            unframed(wrong)
