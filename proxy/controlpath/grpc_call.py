"""One call of grpc.health.v1.Health/Check, without a socket: bytes in, bytes out, and how it ended.

github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md says what the headers and trailers are.
"""

from urllib.parse import unquote_to_bytes

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError

from proxy import __version__
from proxy.controlpath.grpc_messages import check_request, framed, serving_status, unframed
from proxy.errors import CheckFailed

BODY_MOST = 4096
SHOWN = 100  # characters of what a pod says of its failure

# github.com/grpc/grpc/blob/master/doc/statuscodes.md, by number
CODES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE"),
    *("UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
SERVING = 1
STATUSES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")  # of HealthCheckResponse, by number


class HealthCall:
    """`receive` what comes, send what `to_send` gives, until `receive` says that the pod serves."""

    def __init__(self, authority: str, service: str, timeout_s: float) -> None:
        self._service = service
        self._head: dict[bytes, bytes] = {}  # headers and trailers of the reply
        self._body = bytearray()
        self._ended = False
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self._h2.initiate_connection()
        stream = self._h2.get_next_available_stream_id()
        self._h2.send_headers(stream, _request_head(authority, timeout_s))
        self._h2.send_data(stream, framed(check_request(service)), end_stream=True)

    def to_send(self) -> bytes:
        return self._h2.data_to_send()

    def close(self) -> None:
        """Say goodbye: `to_send` has the GOAWAY."""
        self._h2.close_connection()

    def receive(self, data: bytes) -> bool:
        """Whether the pod serves; False as long as that is open. Raises CheckFailed when it does not."""
        if not data:
            raise CheckFailed("closed without a gRPC answer")
        if data.startswith(b"HTTP/1"):  # h2 would wait for the rest of a frame of 4.7 MB
            raise CheckFailed("no gRPC answer (it speaks HTTP/1)")
        try:
            events = self._h2.receive_data(data)
        except ProtocolError as error:
            raise CheckFailed(f"no gRPC answer ({_printable(str(error))})") from error
        for event in events:
            self._take(event)
            if self._ended:
                self._judge()
                return True
        return False

    def _take(self, event: Event) -> None:
        if isinstance(event, ResponseReceived | TrailersReceived):
            self._head.update((bytes(name), bytes(value)) for name, value in event.headers or ())
            self._look_at_head()
        elif isinstance(event, DataReceived):
            self._body += event.data or b""
            if len(self._body) > BODY_MOST:
                raise CheckFailed("no gRPC answer (too long)")
        elif isinstance(event, StreamReset):
            raise CheckFailed(f"reset the call ({_error_code(event.error_code)})")
        elif isinstance(event, ConnectionTerminated):
            raise CheckFailed(f"goes away ({_error_code(event.error_code)})")
        self._ended |= isinstance(event, StreamEnded)

    def _look_at_head(self) -> None:
        status = self._head.get(b":status", b"")
        if status != b"200":
            raise CheckFailed(f"HTTP {_printable(status.decode('latin-1'))}")
        content = self._head.get(b"content-type", b"").decode("latin-1")
        if not content.startswith("application/grpc"):
            raise CheckFailed(f"no gRPC answer ({_printable(content) or 'no content type'})")

    def _judge(self) -> None:
        """Raises CheckFailed unless the reply is SERVING."""
        code = self._head.get(b"grpc-status", b"").decode("latin-1")
        if code != "0":
            raise CheckFailed(self._failure(code))
        try:
            status = serving_status(unframed(bytes(self._body)))
        except ValueError as error:
            raise CheckFailed(f"no gRPC answer ({error})") from error
        if status != SERVING:
            raise CheckFailed(STATUSES[status] if status < len(STATUSES) else f"serving status {status}")

    def _failure(self, code: str) -> str:
        known = code.isascii() and code.isdigit() and int(code) < len(CODES)
        name = CODES[int(code)] if known else f"grpc-status {_printable(code) or 'missing'}"
        if name == "UNIMPLEMENTED":
            return f"{name}: the pod has no health service"
        if name == "NOT_FOUND":
            return f"{name}: its health service does not know {self._service!r}"
        said = unquote_to_bytes(self._head.get(b"grpc-message", b"")).decode(errors="replace")
        return f"{name}: {_printable(said)}" if said else name


def _request_head(authority: str, timeout_s: float) -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", authority),
        ("te", "trailers"),
        ("grpc-timeout", f"{max(1, round(timeout_s * 1000))}m"),  # milliseconds: the pod need not go on
        ("content-type", "application/grpc"),
        ("user-agent", f"headway/{__version__}"),
    ]


def _error_code(code: ErrorCodes | int | None) -> str:
    return code.name if isinstance(code, ErrorCodes) else str(code)


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text[:SHOWN])
