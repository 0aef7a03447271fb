"""TLS as OpenSSL speaks it: clients' first messages, what it reads in them, a server with a certificate."""

import ssl
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

RECORD_HEAD, MOST_IN_A_RECORD = 5, 1 << 14


def hello(name: str | None, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    """What a client sends that asks for `name`, or names nobody."""
    context = trusting()
    context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    out = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return out.read()
    raise AssertionError("a handshake without a server")


def trusting() -> ssl.SSLContext:
    """A client's that takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def fragmented(message: bytes, size: int) -> bytes:
    """The same record cut into records of `size` bytes."""
    head, body = message[:3], message[RECORD_HEAD:]
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(head + len(part).to_bytes(2, "big") + part for part in parts)


def padded(message: bytes, extra: int) -> bytes:
    """The same hello with `extra` bytes more, in an extension at its front; cut into full records."""
    body = bytearray(message[RECORD_HEAD:])
    at = 4 + 2 + 32
    at += 1 + body[at]
    at += 2 + int.from_bytes(body[at : at + 2], "big")
    at += 1 + body[at]
    extension = b"\x5a\x5a" + (extra - 4).to_bytes(2, "big") + bytes(extra - 4)  # RFC 8701: means nothing
    sized = int.from_bytes(body[at : at + 2], "big") + extra
    body[at : at + 2] = sized.to_bytes(2, "big") + extension
    body[1:4] = (len(body) - 4).to_bytes(3, "big")
    return fragmented(message[:RECORD_HEAD] + bytes(body), MOST_IN_A_RECORD)


def openssl() -> Callable[[bytes], str | None]:
    """Reads the name in a hello, if OpenSSL comes that far."""
    seen: list[str | None] = []

    def note(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> int:
        seen.append(name)
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = note

    def read(data: bytes) -> str | None:
        seen.clear()
        incoming = ssl.MemoryBIO()
        incoming.write(data)
        with suppress(ssl.SSLError):
            context.wrap_bio(incoming, ssl.MemoryBIO(), server_side=True).do_handshake()
        return seen[0] if seen else None

    return read


def serving(folder: Path) -> ssl.SSLContext:
    """A server's with a certificate that it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pod")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file = folder / "pod.pem"
    file.write_bytes(certificate.public_bytes(pem) + key.private_bytes(pem, *plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
