"""Makes a certificate with an authority of its own, and tells when the next one is due. Knows no cluster."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = timedelta(days=90)
RENEW_WHEN_LEFT = timedelta(days=30)
CLOCKS_DIFFER = timedelta(minutes=5)
MOST_AUTHORITIES = 10  # a Secret holds 1 MiB; whoever deletes ours every minute shall not fill it
FOR_SIGNING = ("key_cert_sign", "crl_sign")
KEY_USES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


class Pair(msgspec.Struct, frozen=True):
    """A serving certificate with its key, and all authorities to trust, the newest first. All in PEM."""

    authorities: bytes
    certificate: bytes
    key: bytes


def issue(names: Sequence[str], now: datetime, *trusted: bytes) -> Pair:
    """A certificate for `names` by an authority that signs nothing else: its key is forgotten.

    Those in the bundles `trusted` that have not ended stay, for replicas that still serve with an old one.
    """
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    # A name for each: two authorities of one name and different keys confuse those who look one up by name.
    called = _name(f"headway injector {x509.random_serial_number():x}"[:64])
    authority = (
        _draft(called, called, authority_key.public_key(), authority_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(FOR_SIGNING), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    certificate = (
        _draft(_name("headway injector"), called, key.public_key(), authority_key.public_key(), now)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(("digital_signature",)), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    found = dict.fromkeys(each for bundle in trusted for each in _authorities(bundle))
    kept = [each for each in found if each.not_valid_after_utc > now][: MOST_AUTHORITIES - 1]
    return Pair(
        b"".join(_pem(each) for each in (authority, *kept)),
        _pem(certificate),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def why_renew(pair: Pair, names: Sequence[str], now: datetime) -> str:
    """Why `pair` must be replaced, or nothing while it is good."""
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        key = load_pem_private_key(pair.key, None)
        named = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        listed = named.get_values_for_type(x509.DNSName)
    except (ValueError, TypeError, x509.ExtensionNotFound) as error:
        return f"it is no certificate with a key: {error}"
    if _public(key.public_key()) != _public(certificate.public_key()):
        return "its key is another one's"
    if missing := set(names) - set(listed):
        return f"it is not for {', '.join(sorted(missing))}"
    if not any(_issued(certificate, authority) for authority in _authorities(pair.authorities)):
        return "the authority that issued it is not there"
    if certificate.not_valid_after_utc - now < RENEW_WHEN_LEFT:
        return f"it ends on {certificate.not_valid_after_utc:%Y-%m-%d}"
    if certificate.not_valid_before_utc > now:
        return f"it begins on {certificate.not_valid_before_utc:%Y-%m-%d}"
    return ""


def _draft(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, by: ec.EllipticCurvePublicKey,
    now: datetime,
) -> x509.CertificateBuilder:  # fmt: skip
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCKS_DIFFER)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by), critical=False)
    )


def _key_usage(uses: Sequence[str]) -> x509.KeyUsage:
    return x509.KeyUsage(**{use: use in uses for use in KEY_USES})


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _public(key: object) -> bytes:
    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))  # type: ignore[attr-defined]


def _authorities(bundle: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(bundle)
    except ValueError:
        return []


def _issued(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
