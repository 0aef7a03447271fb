"""Runs every test that asks for an `engine` over each of them."""

import pytest

from tests.datapath.relays import ENGINES, Engine


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[request.param]
