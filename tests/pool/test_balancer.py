"""What BALANCER names: one of ours, or code of the user's own, and what is said when that cannot be had."""

from pathlib import Path
from random import Random

import pytest

from proxy.config import Balancer, from_env
from proxy.errors import SettingsError
from proxy.policy.endpoint import Endpoint
from proxy.policy.pickers import PickInfo, algorithm
from proxy.pool.balancer import factory_of
from tests.support import service_settings
from tests.support.fleet import fleet
from tests.support.traffic import picked, picks

STICKY = "tests.policy.pickers.example_sticky:Sticky"

MODULES = {
    "good": "def make(endpoints, rng, previous): ...",
    "cracked": "def make(endpoints",
    "angry": "raise RuntimeError('no licence')",
    "needy": "import no_such_thing",
    "needy_of_its_own": "import needy_of_its_own_helper",
    "plain": "RULES = {}\ndef make(endpoints): ...\nclass Sticky:\n  def __init__(self, a, b, c, d): ...",
}


@pytest.mark.parametrize("name", Balancer)
def test_each_of_ours(name: Balancer) -> None:
    """Every word has its algorithm."""
    kind = algorithm(name)
    assert isinstance(kind, type)
    assert isinstance(
        factory_of(service_settings(TARGET="web:80", BALANCER=name))(fleet(3), Random(7), None), kind
    )


@pytest.mark.parametrize(
    "variables,most",
    [
        ({}, 125),
        ({"HASH_BALANCE_FACTOR": "200%"}, 200),
        ({"HASH_BALANCE_FACTOR": "0%"}, 1_000),
        ({"HASH_KEY": "pod"}, 1_000),
    ],
)
def test_bound_of_maglev(variables: dict[str, str], most: int) -> None:
    """How many of the thousand connections of a key an endpoint gets of ten; all when they are to stick."""
    endpoints, rng = fleet(10), Random(7)
    picker = factory_of(service_settings(TARGET="web:80", BALANCER="maglev", **variables))(
        endpoints, rng, None
    )
    assert picker.pick(PickInfo((), 0.0, rng, 8))  # one key alone would stick anyway
    for _ in range(1_000):
        pick = picker.pick(PickInfo((), 0.0, rng, 7))
        assert pick is not None
        pick.endpoint.in_flight += 1

    assert max(endpoint.in_flight for endpoint in endpoints) == most


def test_ones_own() -> None:
    """The example keeps to one endpoint through changes of the set, and takes another when it must."""
    endpoints, rng = fleet(10), Random(7)
    factory = factory_of(service_settings(TARGET="web:80", BALANCER=STICKY))
    picker = factory(endpoints, rng, None)
    favourite = picked(picker, rng)
    assert favourite is not None
    others = [each for each in endpoints if each is not favourite]

    assert set(picks(picker, 100, rng)) == {favourite}
    assert picked(picker, rng, [favourite]) in others
    assert set(picks(factory([*others[:3], favourite], rng, picker), 100, rng)) == {favourite}
    assert picked(factory(others, rng, picker), rng) in others


def test_ones_own_is_tried_to_the_last() -> None:
    """A session gets each endpoint once, then none."""
    endpoints, rng = fleet(5), Random(7)
    picker = factory_of(service_settings(TARGET="web:80", BALANCER=STICKY))(endpoints, rng, None)
    tried: list[Endpoint] = []
    while endpoint := picked(picker, rng, tried):
        tried.append(endpoint)

    assert set(tried) == set(endpoints)
    assert len(tried) == 5


@pytest.mark.parametrize(
    "value,problem",
    [
        ("no_such:make", "there is no module no_such; is its directory in PYTHONPATH?"),
        ("no.such:make", "there is no module no; is its directory in PYTHONPATH?"),
        ("good.inner:make", "there is no module good.inner; is its directory in PYTHONPATH?"),
        ("needy:make", "needy needs a module that is missing: No module named 'no_such_thing'"),
        (
            "needy_of_its_own:make",
            "needy_of_its_own needs a module that is missing: No module named 'needy_of_its_own_helper'",
        ),
        ("cracked:make", "importing cracked failed: SyntaxError: '(' was never closed (cracked.py, line 1)"),
        ("angry:make", "importing angry failed: RuntimeError: no licence"),
        ("good:mak", "good has no mak; did you mean make?"),
        ("good:Sticky", "good has no Sticky"),
        ("plain:RULES", "RULES is not callable but a dict"),
        ("plain:make", "make does not take (endpoints, rng, previous)"),
        ("plain:Sticky", "Sticky does not take (endpoints, rng, previous)"),
    ],
)
def test_mistakes(value: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a wrong setting: the variable, its value and what is wrong, whatever the module does."""
    for name, source in MODULES.items():
        (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(SettingsError) as caught:
        factory_of(service_settings(TARGET="web:80", BALANCER=value))
    assert [str(fault) for fault in caught.value.faults] == [f"HEADWAY_BALANCER={value}: {problem}"]


def test_the_service_is_named() -> None:
    """With several services it is the variable of the one that is wrong."""
    services = from_env(
        {
            "HEADWAY_SERVICES": "orders,users",
            "HEADWAY_ORDERS_TARGET": "orders:80",
            "HEADWAY_USERS_TARGET": "users:81",
            "HEADWAY_USERS_BALANCER": "no_such:make",
        }
    ).settings.services
    factory_of(services[0])

    with pytest.raises(SettingsError, match="HEADWAY_USERS_BALANCER=no_such:make: there is no module"):
        factory_of(services[1])
