"""Runs every test that asks for an `engine` over each of them."""

import pytest

from proxy.datapath.engines import NOT_BUILT, is_built
from tests.datapath.relays import ENGINES, Engine


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "native" and not is_built():
        pytest.skip(NOT_BUILT)
    return ENGINES[request.param]
