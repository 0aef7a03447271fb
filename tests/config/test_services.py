"""Several services in one process: whose setting is whose, and what is said when that is unclear."""

import pytest

from proxy.config import AccessLog, Balancer, Listen, Row, from_env
from tests.config.refusals import faults

TWO = {
    "HEADWAY_SERVICES": "orders, user-accounts",
    "HEADWAY_ORDERS_TARGET": "orders.shop:8080",
    "HEADWAY_USER_ACCOUNTS_TARGET": "users.shop:8081",
}


def test_two_services() -> None:
    """Each service has its own target and listener, under the name that the list gives it."""
    services = from_env(TWO).settings.services

    assert [(each.name, str(each.target), each.listen) for each in services] == [
        ("orders", "orders.shop:8080", (Listen("127.0.0.1", 8080),)),
        ("user-accounts", "users.shop:8081", (Listen("127.0.0.1", 8081),)),
    ]
    assert [each.prefix for each in services] == ["ORDERS_", "USER_ACCOUNTS_"]


def test_own_value_then_the_plain_one_then_the_default() -> None:
    """A plain setting is for every service that has none of its own, and each origin is shown."""
    loaded = from_env(
        TWO | {"HEADWAY_BALANCER": "random", "HEADWAY_ORDERS_BALANCER": "p2c", "HEADWAY_ACCESS_LOG": "all"}
    )
    orders, users = loaded.settings.services
    shown = {row.variable: row for row in loaded.rows}

    assert (orders.balancer, users.balancer) == (Balancer.P2C, Balancer.RANDOM)
    assert (orders.access_log, users.access_log) == (AccessLog.ALL, AccessLog.ALL)
    assert shown["HEADWAY_SERVICES"].value == "orders, user-accounts"
    assert shown["HEADWAY_ORDERS_BALANCER"].origin == "environment"
    assert shown["HEADWAY_USER_ACCOUNTS_BALANCER"] == Row(
        "HEADWAY_USER_ACCOUNTS_BALANCER", "random", "environment, HEADWAY_BALANCER"
    )
    assert shown["HEADWAY_ORDERS_DNS_HOLD"].origin == "default"
    assert "HEADWAY_BALANCER" not in shown


def test_a_wrong_plain_value_is_one_fault() -> None:
    """A fallback that several services share is reported once, own values or not."""
    wrong = TWO | {"HEADWAY_DNS_HOLD": "soon", "HEADWAY_ORDERS_DNS_HOLD": "1s"}

    (fault,) = faults(wrong)

    assert fault.startswith("HEADWAY_DNS_HOLD=soon: is not a duration")


@pytest.mark.parametrize("name,text", [("TARGET", "web:80"), ("LISTEN", ":80")])
def test_what_services_cannot_share(name: str, text: str) -> None:
    """A plain target or listener beside a list of services belongs to none of them."""
    want = f"HEADWAY_{name}={text}: needs a service's name: HEADWAY_ORDERS_{name}"

    assert faults(TWO | {f"HEADWAY_{name}": text}) == [want]


@pytest.mark.parametrize(
    "name,text", [("LOG_LEVEL", "info"), ("DRAIN_TIMEOUT", "5s"), ("ADMIN_LISTEN", "off")]
)
def test_what_no_service_has_of_its_own(name: str, text: str) -> None:
    """A setting of the whole process given for one service is refused with the name to set instead."""
    want = f"HEADWAY_ORDERS_{name}={text}: is for the whole process: set HEADWAY_{name}"

    assert faults(TWO | {f"HEADWAY_ORDERS_{name}": text}) == [want]


@pytest.mark.parametrize(
    "name,meant",
    [
        ("HEADWAY_ORDERS_BALANCR", "HEADWAY_ORDERS_BALANCER"),
        ("HEADWAY_ODERS_BALANCER", "HEADWAY_ORDERS_BALANCER"),
        ("HEADWAY_USER-ACCOUNTS_TARGET", "HEADWAY_USER_ACCOUNTS_TARGET"),
        ("HEADWAY_USERS_ACCOUNTS_DNS_HOLD", "HEADWAY_USER_ACCOUNTS_DNS_HOLD"),
        ("HEADWAY_BALANCR", "HEADWAY_BALANCER"),
    ],
)
def test_typos(name: str, meant: str) -> None:
    """A typo in the service's name or the setting's leads to the name that was meant."""
    assert faults(TWO | {name: "p2c"}) == [f"{name}=p2c: is not a setting; did you mean {meant}?"]


def test_each_service_needs_a_target() -> None:
    """A listed service without a target is named; the others are not blamed."""
    (fault,) = faults({**TWO, "HEADWAY_SERVICES": "orders,user-accounts,third"})

    assert fault.startswith("HEADWAY_THIRD_TARGET: is required: host:port")


NOT_A_NAME = "is not a service name; use a-z, 0-9, - and _, separated by commas"


@pytest.mark.parametrize(
    "names,want",
    [
        ("orders;user-accounts", [f"'orders;user-accounts' {NOT_A_NAME}"]),
        ("orders user-accounts", [f"'orders user-accounts' {NOT_A_NAME}"]),
        ("orders,,user-accounts", [f"'' {NOT_A_NAME}"]),
        ("Orders,user-accounts", [f"'Orders' {NOT_A_NAME}"]),
        ("orders,user-accounts,orders", ["names a service twice (- and _ count as the same)"]),
        ("orders,user-accounts,user_accounts", ["names a service twice (- and _ count as the same)"]),
        (
            "orders,ORDERS,user-accounts",
            [f"'ORDERS' {NOT_A_NAME}"],
        ),
    ],
)
def test_a_wrong_list_of_services(names: str, want: list[str]) -> None:
    """What is wrong with the list is said once; settings of the services it means are not wrong as well."""
    found = faults({**TWO, "HEADWAY_SERVICES": names})

    assert found == [f"HEADWAY_SERVICES={names}: {each}" for each in want]


@pytest.mark.parametrize("names", ["", " "])
def test_an_empty_list_of_services(names: str) -> None:
    """An empty list is the only fault of an otherwise complete single service."""
    (fault,) = faults({"HEADWAY_SERVICES": names, "HEADWAY_TARGET": "web:80"})

    assert fault == f"HEADWAY_SERVICES={names}: '' {NOT_A_NAME}"


@pytest.mark.parametrize("name", ["admin", "telemetry"])
def test_a_service_that_would_take_a_name_of_the_process(name: str) -> None:
    """A service called "admin" is refused: its listener's variable already means something else."""
    variable = f"HEADWAY_{name.upper()}_LISTEN"
    found = faults({"HEADWAY_SERVICES": name, f"HEADWAY_{name.upper()}_TARGET": "web:80"})

    assert found[0] == f"HEADWAY_SERVICES={name}: has a name that makes {variable} mean two things"


def test_one_listed_service() -> None:
    """A list of one is a list: the service has a name of its own, and its variables carry it."""
    (service,) = from_env({"HEADWAY_SERVICES": "api", "HEADWAY_API_TARGET": "web:80"}).settings.services

    assert (service.name, service.prefix) == ("api", "API_")
