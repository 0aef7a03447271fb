"""Self-signed certificates: clients trust them, and the next one is made in time."""

import ssl
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from cryptography import x509

from proxy.injector.authority import LIFETIME, MOST_AUTHORITIES, RENEW_WHEN_LEFT, Pair, issue, why_renew
from tests.injector.scenes import NAMES

NOW = datetime(2026, 3, 1, tzinfo=UTC)
GOOD = issue(NAMES, NOW)


@pytest.mark.parametrize(
    "later,says",
    [
        (timedelta(), ""),
        (LIFETIME - RENEW_WHEN_LEFT, ""),
        (LIFETIME - RENEW_WHEN_LEFT + timedelta(seconds=1), "it ends on 2026-05-30"),
        (LIFETIME * 2, "it ends on 2026-05-30"),
        (-timedelta(minutes=4), ""),
        (-timedelta(minutes=6), "it begins on 2026-02-28"),
    ],
)
def test_when_it_is_due(later: timedelta, says: str) -> None:
    """Thirty days before the end, and where clocks went wrong."""
    assert why_renew(GOOD, NAMES, NOW + later) == says


@pytest.mark.parametrize(
    "changed,says",
    [
        ({"certificate": b""}, "no certificate"),
        ({"certificate": GOOD.certificate[:99]}, "no certificate"),
        ({"key": b""}, "no certificate with a key"),
        ({"key": issue(NAMES, NOW).key}, "another one's"),
        ({"authorities": b""}, "the authority that issued it is not there"),
        ({"authorities": issue(NAMES, NOW).authorities}, "the authority that issued it is not there"),
        ({"authorities": b"hello"}, "the authority that issued it is not there"),
        ({"certificate": GOOD.authorities}, "no certificate with a key"),
    ],
)
def test_whatever_became_of_the_secret(changed: dict[str, bytes], says: str) -> None:
    """What nobody could serve with is replaced, for a reason that can be read."""
    assert says in why_renew(msgspec.structs.replace(GOOD, **changed), NAMES, NOW)


def test_another_name() -> None:
    """When the Service is called otherwise, the certificate is for somebody else."""
    assert "it is not for x.y.svc" in why_renew(GOOD, [*NAMES, "x.y.svc"], NOW)


def test_old_authorities_stay_while_they_are_good() -> None:
    """Replicas that serve with the old certificate for a while are trusted, and the bundle does not grow."""
    pairs = [GOOD]
    for number in range(1, 5):
        now = NOW + number * (LIFETIME - RENEW_WHEN_LEFT)
        pairs.append(issue(NAMES, now, pairs[-1].authorities))

    assert [len(x509.load_pem_x509_certificates(pair.authorities)) for pair in pairs] == [1, 2, 2, 2, 2]
    assert pairs[1].authorities.endswith(GOOD.authorities)


def test_a_bundle_that_grows_no_further() -> None:
    """Whoever deletes the Secret again and again fills neither it nor the caBundle."""
    bundle = b""
    for _ in range(15):
        bundle = issue(NAMES, NOW, b"hello", bundle, GOOD.authorities, bundle).authorities
    kept = x509.load_pem_x509_certificates(bundle)

    assert len(kept) == len(set(kept)) == MOST_AUTHORITIES


def test_nobody_else_can_sign_with_it() -> None:
    """What is kept can serve, but not issue: the authority's key is in none of the parts."""
    served = x509.load_pem_x509_certificate(GOOD.certificate)

    assert served.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert GOOD.key.count(b"BEGIN PRIVATE KEY") == 1
    assert b"PRIVATE" not in GOOD.authorities + GOOD.certificate


def test_strict_clients_trust_it() -> None:
    """A handshake passes every check that OpenSSL has; and none for another name."""
    pair = issue(NAMES, datetime.now(UTC))

    assert handshake(pair, NAMES[0]) == "fine"
    assert handshake(pair, NAMES[1]) == "fine"
    assert "Hostname mismatch" in handshake(pair, "other.headway-system.svc")


def handshake(pair: Pair, name: str) -> str:
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        file.write(pair.certificate + pair.key)
        file.flush()
        serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        serving.load_cert_chain(file.name)
    asking = ssl.create_default_context(cadata=pair.authorities.decode())
    asking.verify_flags |= ssl.VERIFY_X509_STRICT
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = asking.wrap_bio(down, up, server_hostname=name)
    server = serving.wrap_bio(up, down, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                return str(error)
    return "fine"
