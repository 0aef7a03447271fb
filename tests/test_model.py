"""The values that the parts hand to each other, as people read them."""

import pytest

from proxy.model import Address, Answer, AnswerKind, Family


@pytest.mark.parametrize(
    "ip,family,text",
    [
        ("10.0.0.1", Family.IPV4, "10.0.0.1:80"),
        ("::1", Family.IPV6, "[::1]:80"),
        ("fd00::7", Family.IPV6, "[fd00::7]:80"),
    ],
)
def test_address(ip: str, family: Family, text: str) -> None:
    """It knows its family, reads as in any URL, and goes to connect() as the pair that it is."""
    address = Address(ip, 80)

    assert (address.family, str(address), tuple(address)) == (family, text, (ip, 80))


@pytest.mark.parametrize(
    "answer,text",
    [
        (Answer.of([Address("::1", 1), Address("::1", 2)]), "endpoints 2"),
        (Answer(AnswerKind.EMPTY), "empty"),
        (Answer(AnswerKind.NXDOMAIN, detail="ipv4 nxdomain"), "nxdomain (ipv4 nxdomain)"),
        (Answer(AnswerKind.FAILED, detail="ipv4 timeout"), "failed (ipv4 timeout)"),
    ],
)
def test_answer(answer: Answer, text: str) -> None:
    """The log shows which of the four kinds it is, how many came, and how each query ended."""
    assert str(answer) == text
