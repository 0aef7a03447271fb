"""Reads from a certificate when it ends: a few bytes of DER, for which no library need be loaded."""

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime

FIRST = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
# X.690 8.1: the tags of what is read
SEQUENCE, UTC_TIME, GENERALIZED_TIME = 0x30, 0x17, 0x18
EXPLICIT_VERSION = 0xA0
LONG_LENGTH = 0x80


def not_after(chain: bytes) -> datetime:
    """When the first certificate of a PEM file ends. Raises ValueError."""
    if (found := FIRST.search(chain)) is None:
        raise ValueError("it holds no certificate in PEM")
    try:
        der = ssl.PEM_cert_to_DER_cert(found[0].decode("ascii"))
        return _not_after(der)
    except (IndexError, KeyError, StopIteration, ValueError) as error:
        raise ValueError("its certificate is broken") from error


def _not_after(der: bytes) -> datetime:
    # RFC 5280 4.1: Certificate ::= SEQUENCE { tbsCertificate SEQUENCE { version [0], serialNumber,
    # signature, issuer, validity SEQUENCE { notBefore, notAfter }, … } … }
    to_be_signed = next(_items(dict(_items(der))[SEQUENCE]))[1]
    fields = [content for tag, content in _items(to_be_signed) if tag != EXPLICIT_VERSION]
    (_, _), (tag, text) = _items(fields[3])
    # RFC 5280 4.1.2.5.1: two digits of a year from 50 on are of the last century; strptime parts them at 69
    digits = text.decode("ascii")
    if tag == UTC_TIME:
        digits = ("19" if digits >= "50" else "20") + digits
    elif tag != GENERALIZED_TIME:
        raise ValueError("no time")
    return datetime.strptime(digits, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of the values that lie one after the other in `data`."""
    at = 0
    while at < len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if length & LONG_LENGTH:
            count = length - LONG_LENGTH
            length = int.from_bytes(data[at : at + count], "big")
            at += count
        yield tag, data[at : at + length]
        at += length
