"""Kubernetes' amounts, as its own code reads them."""

from decimal import Decimal
from typing import Any

import pytest

from proxy.inject.amounts import amount, enough


@pytest.mark.parametrize(
    "text,number",
    [
        ("0", "0"),
        ("1", "1"),
        (2, "2"),
        (0.5, "0.5"),
        ("10m", "0.01"),
        ("250u", "0.00025"),
        ("5n", "0.000000005"),
        (".5", "0.5"),
        ("1.", "1"),
        ("+1k", "1000"),
        ("64Ki", "65536"),
        ("64Mi", "67108864"),
        ("1.5Gi", "1610612736"),
        ("64M", "64000000"),
        ("2E", "2e18"),
        ("1Ei", str(2**60)),
        ("1e3", "1000"),
        ("12E-1", "1.2"),
        (1e22, "1e22"),
    ],
)
def test_amounts(text: Any, number: str) -> None:
    """With every unit, and as numbers without quotes."""
    assert amount(text) == Decimal(number)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "m",
        "1 Gi",
        "1mb",
        "1ki",
        "-1",
        "1e",
        "1e1000000000",
        "\u0663",
        "1Mi\n",
        "9" * 99,
        None,
        True,
        [],
        {},
    ],
)
def test_what_is_none(text: Any) -> None:
    """Other text, other digits, and numbers that only take time."""
    assert amount(text) is None


@pytest.mark.parametrize(
    "number,resource,text",
    [
        ("0.01", "cpu", "10m"),
        ("1.0001", "cpu", "1001m"),
        ("67108864", "memory", "64Mi"),
        ("67108865", "memory", "65Mi"),
        ("0", "memory", "0Mi"),
        ("1e18", "cpu", "1000000000000000000000m"),
    ],
)
def test_enough(number: str, resource: str, text: str) -> None:
    """Whoever sets that has set enough, without a fraction."""
    assert enough(Decimal(number), resource) == text
