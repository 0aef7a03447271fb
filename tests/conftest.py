"""Shares the tests out among the processors (`make test`): each goes wherever there is room."""

from collections.abc import Sequence

import pytest

TOGETHER = ("containers", "test_native_build", "test_native_driver")  # what they make, they make once for all


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        for name in {item.path.parent.name, item.path.stem}.intersection(TOGETHER):
            item.add_marker(pytest.mark.xdist_group(name))
