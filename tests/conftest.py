"""Shares the tests out among the processors (`make test`): each goes wherever there is room."""

from pathlib import PurePath

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import Producer

# What they make they make once for all, or there can be only one of it.
TOGETHER = ("containers", "test_native_build", "test_native_driver", "test_stalls")


class Sharing(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """--dist loadgroup would do, but for pytest 9.2, which does not let xdist 3.8 mark the groups."""

    def _split_scope(self, nodeid: str) -> str:
        path = PurePath(nodeid.partition("::")[0])
        return next((name for name in (path.parent.name, path.stem) if name in TOGETHER), nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Sharing:
    return Sharing(config, log)
