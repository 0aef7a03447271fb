"""Reads Kubernetes' amounts of CPU and memory."""

import re
from decimal import ROUND_CEILING, Decimal

# https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/; that many digits are more
# than an int64 has, and few enough that nobody keeps a webhook busy with one number.
QUANTITY = re.compile(
    r"\+?([0-9]{1,30}\.?[0-9]{0,30}|\.[0-9]{1,30})([KMGTPE]i|[numkMGTPE]?|[eE][+-]?[0-9]{1,2})"
)
DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
MEBIBYTE = 1 << 20


def amount(value: object) -> Decimal | None:
    """In cores or bytes; None for what Kubernetes would not take."""
    match = QUANTITY.fullmatch(str(value))
    if match is None or isinstance(value, bool):
        return None
    number, unit = match.groups()
    if unit.endswith("i"):
        return Decimal(number) * Decimal(1024) ** (1 + "KMGTPE".index(unit[0]))
    return Decimal(number).scaleb(DECIMAL[unit] if unit in DECIMAL else int(unit[1:]))


def enough(value: Decimal, resource: str) -> str:
    """At least as much, as people write it."""
    step, unit = (Decimal("0.001"), "m") if resource == "cpu" else (Decimal(MEBIBYTE), "Mi")
    return f"{(value / step).to_integral_value(ROUND_CEILING):f}{unit}"
