"""What the settings say of something they refuse."""

from typing import Any

import pytest

from proxy.config import from_env
from proxy.config.values import Kind
from proxy.errors import SettingsError


def problem(kind: Kind[Any], text: str) -> str:
    """What is wrong with `text` as a value of this kind."""
    with pytest.raises(ValueError) as caught:
        kind.parse(text)
    return str(caught.value)


def faults(env: dict[str, str]) -> list[str]:
    """What is wrong with `env`, a line each; nothing if it is accepted."""
    try:
        from_env(env)
    except SettingsError as error:
        head, *lines = str(error).splitlines()
        assert head == ("1 setting is wrong:" if len(lines) == 1 else f"{len(lines)} settings are wrong:")
        return [line.removeprefix("  ") for line in lines]
    return []
