"""One gRPC health call with a peer that does whatever HTTP/2 and gRPC allow, and some that they do not."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, RequestReceived, SettingsAcknowledged
from h2.settings import SettingCodes
from hypothesis import given
from hypothesis import strategies as st

from proxy.controlpath.grpc_call import HealthCall
from proxy.controlpath.grpc_messages import framed
from proxy.errors import CheckFailed

HEAD = [(":status", "200"), ("content-type", "application/grpc")]
WELL = [("grpc-status", "0")]
SERVING = framed(b"\x08\x01")

Answer = Callable[[H2Connection, int], object]


class Peer:
    """A server that hears a call out; `heard` is what came, by kind."""

    def __init__(self, call: HealthCall) -> None:
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        self._h2.initiate_connection()
        self.call = call
        self.heard: dict[type, list[object]] = {}
        self.stream = 0
        self.listen()

    def listen(self) -> None:
        for event in self._h2.receive_data(self.call.to_send()):
            self.heard.setdefault(type(event), []).append(event)
            if isinstance(event, RequestReceived):
                assert event.stream_id is not None
                self.stream = event.stream_id

    def answer(self, *answers: Answer) -> bool:
        """All of it in one piece."""
        for each in answers:
            each(self._h2, self.stream)
        return self.call.receive(self._h2.data_to_send())


def head(headers: list[tuple[str, str]], end: bool = False) -> Answer:
    return lambda h2, stream: h2.send_headers(stream, headers, end_stream=end)


def data(body: bytes) -> Answer:
    return lambda h2, stream: h2.send_data(stream, body)


def trailers(*fields: tuple[str, str]) -> Answer:
    return head(list(fields), end=True)


def peer(service: str = "") -> Peer:
    return Peer(HealthCall("shop:8080", service, 1.5))


# --- what is asked ------------------------------------------------------------------------------


def test_the_request() -> None:
    """A unary call, as the gRPC specification has it."""
    heard = peer("orders").heard
    (request,), (body,) = heard[RequestReceived], heard[DataReceived]
    assert isinstance(request, RequestReceived) and isinstance(body, DataReceived)

    named = dict(request.headers or ())
    assert named.pop(b"user-agent").startswith(b"headway/")
    assert named == {
        b":method": b"POST",
        b":scheme": b"http",
        b":path": b"/grpc.health.v1.Health/Check",
        b":authority": b"shop:8080",
        b"te": b"trailers",
        b"grpc-timeout": b"1500m",
        b"content-type": b"application/grpc",
    }
    assert (body.data, body.stream_ended is not None) == (b"\0\0\0\0\x08\x0a\x06orders", True)


def test_settings_are_acknowledged_and_the_end_is_announced() -> None:
    """As a well-behaved client does: some servers end connections of those that do not."""
    server = peer()
    assert server.answer(head(HEAD), data(SERVING), trailers(*WELL))
    server.call.close()
    server.listen()

    assert len(server.heard[SettingsAcknowledged]) == 1
    (goodbye,) = server.heard[ConnectionTerminated]
    assert isinstance(goodbye, ConnectionTerminated) and goodbye.error_code == ErrorCodes.NO_ERROR


# --- what passes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answers",
    [
        [head(HEAD), data(SERVING), trailers(*WELL)],
        [
            head([(":status", "200"), ("content-type", "application/grpc+proto")]),
            data(SERVING),
            trailers(*WELL),
        ],
        [head([(":status", "103")]), head(HEAD), data(SERVING), trailers(*WELL)],
        [head(HEAD), data(SERVING[:3]), data(SERVING[3:]), trailers(*WELL)],
        [head(HEAD), data(SERVING), trailers(("x-more", "1"), *WELL)],
        [lambda h2, _: h2.ping(b"12345678"), head(HEAD), data(SERVING), trailers(*WELL)],
        [
            lambda h2, _: h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 1}),
            head(HEAD),
            data(SERVING),
            trailers(*WELL),
        ],
        [head(HEAD), data(SERVING), trailers(*WELL), lambda h2, _: h2.close_connection()],
    ],
    ids=[
        "plain",
        "proto",
        "early hints",
        "in pieces",
        "more trailers",
        "ping",
        "settings",
        "goaway after it",
    ],
)
def test_serving(answers: list[Answer]) -> None:
    """SERVING and grpc-status 0 pass, whatever else the server has to say; in one piece or byte by byte."""
    assert peer().answer(*answers)

    server = peer()
    for each in answers:
        each(server._h2, server.stream)
    sent = server._h2.data_to_send()
    assert any(server.call.receive(sent[at : at + 1]) for at in range(len(sent)))


def test_it_waits_for_the_end() -> None:
    """SERVING alone is no answer: the trailers may still say that the call failed."""
    server = peer()
    assert not server.answer(head(HEAD))
    assert not server.answer(data(SERVING))
    assert server.answer(trailers(*WELL))


# --- what fails ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answers,said",
    [
        ([head(HEAD), data(framed(b"\x08\x02")), trailers(*WELL)], "NOT_SERVING"),
        ([head(HEAD), data(framed(b"")), trailers(*WELL)], "UNKNOWN"),
        ([head(HEAD), data(framed(b"\x08\x03")), trailers(*WELL)], "SERVICE_UNKNOWN"),
        ([head(HEAD), data(framed(b"\x08\x63")), trailers(*WELL)], "serving status 99"),
        ([head(HEAD), data(SERVING), trailers(("grpc-status", "13"))], "INTERNAL"),
        (
            [head(HEAD), trailers(("grpc-status", "14"), ("grpc-message", "caf%C3%A9 closed%0A"))],
            "UNAVAILABLE: café closed?",
        ),
        (
            [head([*HEAD, ("grpc-status", "12")], end=True)],
            "UNIMPLEMENTED: the pod has no health service",
        ),
        (
            [head([*HEAD, ("grpc-status", "5")], end=True)],
            "NOT_FOUND: its health service does not know 'orders'",
        ),
        ([head([*HEAD, ("grpc-status", "77")], end=True)], "grpc-status 77"),
        ([head([*HEAD, ("grpc-status", "-1")], end=True)], "grpc-status -1"),
        ([head([*HEAD, ("grpc-status", "\u00b2")], end=True)], "grpc-status Â²"),
        ([head(HEAD), data(SERVING), trailers(("x", "y"))], "grpc-status missing"),
        ([head(HEAD, end=True)], "grpc-status missing"),
        ([head([(":status", "404")], end=True)], "HTTP 404"),
        ([head([(":status", "200"), ("content-type", "text/html")])], "no gRPC answer (text/html)"),
        ([head([(":status", "200")])], "no gRPC answer (no content type)"),
        ([head(HEAD), data(b"\0\0\0"), trailers(*WELL)], "no gRPC answer (not one message)"),
        ([head(HEAD), data(SERVING * 2), trailers(*WELL)], "no gRPC answer (not one message)"),
        ([head(HEAD), data(b"\1" + SERVING[1:]), trailers(*WELL)], "no gRPC answer (not one message)"),
        ([head(HEAD), data(framed(b"\x08")), trailers(*WELL)], "no gRPC answer (a number does not end)"),
        ([head(HEAD), data(b"x" * 5000)], "no gRPC answer (too long)"),
        (
            [lambda h2, stream: h2.reset_stream(stream, ErrorCodes.REFUSED_STREAM)],
            "reset the call (REFUSED_STREAM)",
        ),
        ([lambda h2, stream: h2.reset_stream(stream, 0x99)], "reset the call (153)"),
        ([lambda h2, _: h2.close_connection(ErrorCodes.NO_ERROR)], "goes away (NO_ERROR)"),
        ([lambda h2, _: h2.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)], "goes away (ENHANCE_YOUR_CALM)"),
    ],
)
def test_not_serving(answers: list[Answer], said: str) -> None:
    """Whatever else comes fails the check, and the log can say what it was."""
    with pytest.raises(CheckFailed) as caught:
        peer("orders").answer(*answers)

    assert str(caught.value) == said


def test_an_end_without_an_answer() -> None:
    server = peer()
    assert not server.answer(head(HEAD), data(SERVING))
    with pytest.raises(CheckFailed, match=r"^closed without a gRPC answer$"):
        server.call.receive(b"")


def test_long_words_are_cut() -> None:
    """A pod cannot fill the log."""
    with pytest.raises(CheckFailed) as caught:
        peer().answer(head([*HEAD, ("grpc-status", "2"), ("grpc-message", "x" * 4000)], end=True))

    assert len(str(caught.value)) < 150


# --- noise --------------------------------------------------------------------------------------

FRAMES = st.builds(
    lambda kind, flags, stream, body: (
        len(body).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + body
    ),
    st.integers(0, 10),
    st.integers(0, 255),
    st.sampled_from([0, 1, 2, 3]),
    st.binary(max_size=40),
)


@given(st.one_of(st.binary(max_size=200), st.lists(FRAMES, max_size=8).map(b"".join)))
def test_noise_is_no_crash(noise: bytes) -> None:
    """Whatever bytes come, the call goes on or fails as a check does."""
    server = peer()
    assert not server.call.receive(server._h2.data_to_send())
    with suppress(CheckFailed):
        server.call.receive(noise)
        server.call.receive(noise)
    server.call.close()
    server.call.to_send()
