"""Certificates that are exchanged while the webhook serves."""

import asyncio
import json
import logging
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import cycle
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from proxy.injector.authority import LIFETIME, Pair, issue
from proxy.injector.certificates import Certificates
from proxy.tasks import spawn
from tests.injector.scenes import NAMES, TARGET, asking, new_pair, pod, put, run, running, trusting
from tests.support import FakeClock, eventually

BODY = json.dumps(asking(pod(TARGET))).encode()
AT = datetime(2026, 3, 1, tzinfo=UTC)


class Calendar(FakeClock):
    """A fake clock whose day is AT when it begins."""

    def date(self, moment: float) -> datetime:
        return AT + timedelta(seconds=moment - 1000.0)


def serial(pair: Pair) -> str:
    return f"{x509.load_pem_x509_certificate(pair.certificate).serial_number:X}"


async def shown(port: int, trust: ssl.SSLContext, name: str = NAMES[0]) -> str:
    """The serial number of the certificate that a new connection is shown."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust, server_hostname=name)
    number = writer.get_extra_info("peercert")["serialNumber"]
    writer.close()
    await writer.wait_closed()
    return str(number).lstrip("0")


async def shows(port: int, trust: ssl.SSLContext, pair: Pair) -> bool:
    return await shown(port, trust) == serial(pair)


@pytest.mark.slow
def test_exchanged_under_load(tmp_path: Path) -> None:
    """Six certificates, one after the other and files that do not fit between them: no review fails."""
    pairs = [new_pair() for _ in range(6)]
    trust = trusting(*pairs)

    async def story() -> None:
        async with running(tmp_path) as here:
            put(tmp_path, pairs[0])
            here.certificates.look()
            follow = spawn(here.certificates.follow(), name="follow")
            done = asyncio.Event()
            answers: list[int] = []

            async def reviews(*, kept: bool) -> None:
                async with here.session() as session:
                    session.connector._ssl = trust  # type: ignore[union-attr]
                    while not done.is_set():
                        headers = {} if kept else {"Connection": "close"}
                        async with session.post(
                            here.url, data=BODY, headers=headers, server_hostname=NAMES[0]
                        ) as response:
                            answers.append(response.status)
                            await response.read()

            callers = [
                spawn(reviews(kept=each), name="caller") for _, each in zip(range(6), cycle([True, False]))
            ]
            for pair in pairs:
                (tmp_path / "tls.key").write_bytes(new_pair().key)
                await asyncio.sleep(0.05)
                (tmp_path / "tls.crt").write_bytes(b"")
                await asyncio.sleep(0.05)
                put(tmp_path, pair)
                await eventually(partial(shows, here.port, trust, pair))
            done.set()
            await asyncio.gather(*callers)
            follow.cancel()

            assert set(answers) == {200}
            assert len(answers) > 50

    run(story())


@pytest.mark.slow
def test_connections_outlive_their_certificate(tmp_path: Path) -> None:
    """A connection that an API server keeps is used on; only new ones are shown the new certificate."""

    async def story() -> None:
        async with running(tmp_path) as here, here.session(limit=1) as session:
            assert (await here.post(session, BODY))[0] == 200
            fresh = new_pair()
            put(tmp_path, fresh)
            here.certificates.look()

            assert (await here.post(session, BODY))[0] == 200  # this session does not trust the new one
            assert await shown(here.port, trusting(fresh)) == serial(fresh)
            with pytest.raises(ssl.SSLCertVerificationError):
                await shown(here.port, trusting(here.pair))

    run(story())


@pytest.mark.slow
def test_clients_that_name_nobody(tmp_path: Path) -> None:
    """A client that connects to an address sends no server name, and is shown the certificate as well."""

    async def story() -> None:
        async with running(tmp_path) as here:
            trust = trusting(here.pair)
            trust.check_hostname = False

            assert await shown(here.port, trust, "127.0.0.1") == serial(here.pair)

    run(story())


@pytest.mark.parametrize(
    "certificate,key,says",
    [
        (None, None, "No such file"),
        (b"", b"", "PEM"),
        (b"hello", b"hello", "PEM"),
        (issue(NAMES, AT).certificate, issue(NAMES, AT).key, "MISMATCH"),
        (issue(NAMES, AT).certificate, b"hello", "PEM"),
    ],
)
def test_nothing_usable(
    certificate: bytes | None, key: bytes | None, says: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a certificate nobody is sent here, and the log says once what is wrong."""
    caplog.set_level(logging.INFO, "headway")
    if certificate is not None and key is not None:
        put(tmp_path, Pair(b"", certificate, key))
    certificates = Certificates(tmp_path, Calendar())

    assert certificates.unready() == "no certificate yet"
    certificates.look()
    certificates.look()
    assert says.lower() in certificates.unready().lower()
    assert str(tmp_path) in certificates.unready()
    assert len(caplog.records) == 1


def test_a_bad_one_does_not_replace_a_good_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the last good one stays in use."""
    good = issue(NAMES, AT)
    put(tmp_path, good)
    certificates = Certificates(tmp_path, Calendar())
    certificates.look()
    put(tmp_path, Pair(b"", b"hello", good.key))
    certificates.look()

    assert certificates.unready() == ""
    assert certificates.ends == AT + LIFETIME
    assert caplog.messages[-1].endswith("; the last good one stays")


def test_one_that_has_ended(tmp_path: Path) -> None:
    """No API server would talk to us with it: better the other replica."""
    put(tmp_path, issue(NAMES, AT))
    clock = Calendar()
    certificates = Certificates(tmp_path, clock)
    certificates.look()
    clock.advance(LIFETIME.total_seconds() - 1)
    assert certificates.unready() == ""
    clock.advance(1)

    assert certificates.unready() == "the certificate ended on 2026-05-30 00:00:00 UTC"


AT_A_TERMINAL = """
import pty, sys
code = "import sys; from pathlib import Path; from proxy.clock import SystemClock;"
code += "from proxy.injector.certificates import Certificates;"
code += "here = Certificates(Path(sys.argv[1]), SystemClock()); here.look(); print(here.unready())"
pty.spawn([sys.executable, "-c", code, sys.argv[1]])
"""


@pytest.mark.slow
def test_an_encrypted_key(tmp_path: Path) -> None:
    """Nobody is asked for its password: a terminal that nobody sits at would hold everything up."""
    pair = issue(NAMES, AT)
    key = load_pem_private_key(pair.key, None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    put(tmp_path, Pair(b"", pair.certificate, locked))
    done = subprocess.run(
        [sys.executable, "-c", AT_A_TERMINAL, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        timeout=60,
        text=True,
    )

    assert "no usable certificate" in done.stdout
    assert "pass phrase" not in done.stdout
