"""What a setting is: a field of a frozen struct, with its kind, default and meaning beside it."""

from typing import Any, get_type_hints

import msgspec

from proxy.config.values import Kind

Seconds = float
Share = float


class Setting(msgspec.Struct, frozen=True):
    """What one field may hold; a `default` of None is required or worked out, `shown` says from what."""

    kind: Kind[Any]
    default: str | None
    meaning: str
    shown: str = ""


def variable(field: str) -> str:
    """The name of `field` in the environment, without its prefix: dns_interval_s is DNS_INTERVAL."""
    return field.removesuffix("_s").upper()


def fields_of(cls: type[msgspec.Struct]) -> dict[str, Setting]:
    """The settings of `cls` by field name, in order."""
    hints = get_type_hints(cls, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items() if hasattr(hint, "__metadata__")}
