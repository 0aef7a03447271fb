"""When a certificate ends, read from its bytes."""

import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from proxy.injector.authority import LIFETIME, issue
from proxy.injector.expiry import not_after

NOW = datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC)
GOOD = issue(["a.b.svc"], NOW).certificate


@pytest.mark.parametrize("year", [1999, 2026, 2049, 2050, 2068, 2069, 2100, 9000])
def test_any_century(year: int) -> None:
    """Dates are written in two ways, which part in 2050; both are understood."""
    now = NOW.replace(year=year)

    assert not_after(issue(["a.b.svc"], now).certificate) == now + LIFETIME


def test_the_first_of_a_chain() -> None:
    """It is the leaf that counts, whatever comes before it or after it in the file."""
    later = issue(["a.b.svc"], NOW + timedelta(days=9)).authorities

    assert not_after(b"subject: me\n" + GOOD + later) == NOW + LIFETIME


@pytest.mark.slow
@pytest.mark.parametrize("kind", [["rsa:2048"], ["ec", "-pkeyopt", "ec_paramgen_curve:P-384"], ["ed25519"]])
def test_certificates_that_others_make(kind: list[str], tmp_path: Path) -> None:
    """OpenSSL's own are read as another library reads them."""
    made = [
        "openssl",
        "req",
        "-x509",
        "-nodes",
        "-subj",
        "/CN=x",
        "-days",
        "40",
        "-keyout",
        "key",
        "-out",
        "crt",
    ]
    subprocess.run([*made, "-newkey", *kind], cwd=tmp_path, check=True, capture_output=True)
    pem = (tmp_path / "crt").read_bytes()

    assert not_after(pem) == x509.load_pem_x509_certificate(pem).not_valid_after_utc


@pytest.mark.parametrize(
    "broken", [b"", b"hello", GOOD[:200], GOOD.replace(b"M", b"!"), GOOD.replace(b"\nM", b"\n\xff", 1)]
)
def test_no_certificate(broken: bytes) -> None:
    """Anything else is a ValueError that says so."""
    with pytest.raises(ValueError, match="certificate"):
        not_after(broken)


@pytest.mark.parametrize("length", range(0, 260, 3))
def test_cut_off(length: int) -> None:
    """However little of it there is."""
    begun = ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(GOOD.decode())[:length]).encode()
    try:
        assert not_after(begun) == NOW + LIFETIME
    except ValueError as error:
        assert "certificate" in str(error)


@given(st.integers(30, len(GOOD) - 30), st.binary(max_size=6))
def test_broken_certificates(at: int, other: bytes) -> None:
    """Whatever was exchanged in it, it is a date or a ValueError."""
    try:
        end = not_after(GOOD[:at] + other + GOOD[at + len(other) :])
    except ValueError:
        return
    assert end.tzinfo is UTC
