"""What the annotations of a pod ask for, on top of what the command line or the webhook asks for."""

from typing import Any

import pytest

from proxy.config import from_env
from proxy.inject.order import IMAGE, Order, ordered
from proxy.inject.refusal import Refusal

GENERAL = Order(image="headway:7", settings={"TARGET": "orders:8080", "DNS_HOLD": "10s"}, cpu="20m")
NO_TARGET = Order(image="headway:7", settings={"DNS_HOLD": "10s"})


def of(defaults: Order | None = None, **annotations: Any) -> Order | None:
    """`of(connect_timeout="1s")`: the order for headway.dev/connect-timeout."""
    return ordered(
        {f"headway.dev/{name.replace('_', '-')}": text for name, text in annotations.items()}, defaults
    )


def settings(order: Order | None) -> dict[str, str]:
    assert order is not None
    return dict(order.settings)


@pytest.mark.parametrize("annotations", [{}, {"team": "x"}, {"headway.dev/injected": "0.0.9"}])
def test_nobody_asks(annotations: dict[str, str]) -> None:
    """Without a wish, and the mark of an earlier run is none, a pod gets what has a target in general."""
    assert ordered(annotations, None) is None
    assert ordered(annotations, NO_TARGET) is None
    assert ordered(annotations, GENERAL) == GENERAL
    several = Order(image="x", settings={"SERVICES": "a"})
    assert ordered(annotations, several) == several


def test_a_target_is_enough() -> None:
    """One annotation, and the rest is as by default."""
    assert of(target="users:9090") == Order(image=IMAGE, settings={"TARGET": "users:9090"})


def test_declined() -> None:
    """`inject: "false"` stands above everything."""
    assert of(GENERAL, inject="false") is None
    assert of(inject="false", target="users:9090", cpu=3) is None


def test_annotations_win() -> None:
    """Over what is asked for in general, one by one."""
    order = of(GENERAL, inject="true", target="users:9090", connect_timeout="500ms", cpu="5m")

    assert order == Order(
        image="headway:7",
        settings={"TARGET": "users:9090", "DNS_HOLD": "10s", "CONNECT_TIMEOUT": "500ms"},
        cpu="5m",
    )


def test_the_container_too() -> None:
    """Image, pull policy, resources and classic are annotations of their own, no settings."""
    order = of(
        target="users:9090",
        image="mirror/headway:7",
        image_pull_policy="Never",
        cpu="1",
        memory="1Mi",
        memory_limit="2Mi",
        classic="true",
    )

    assert order == Order(
        image="mirror/headway:7",
        settings={"TARGET": "users:9090"},
        pull_policy="Never",
        cpu="1",
        memory="1Mi",
        memory_limit="2Mi",
        classic=True,
    )


def test_several_services() -> None:
    """A pod's services take the place of a general target, and a pod's target that of general services."""
    ours = of(GENERAL, services="users,items", users_target="users:9090", items_target="items:9091")
    assert settings(ours) == {
        "DNS_HOLD": "10s",
        "SERVICES": "users,items",
        "USERS_TARGET": "users:9090",
        "ITEMS_TARGET": "items:9091",
    }

    general = Order(image="x", settings={"SERVICES": "my-users", "MY_USERS_TARGET": "u:1", "DNS_HOLD": "1s"})
    assert settings(of(general, target="a:80")) == {"DNS_HOLD": "1s", "TARGET": "a:80"}
    assert settings(of(general, dns_hold="2s"))["MY_USERS_TARGET"] == "u:1"


@pytest.mark.parametrize(
    "name,says",
    [
        ("targte", "did you mean headway.dev/target?"),
        ("memory-limt", "did you mean headway.dev/memory-limit?"),
        ("injcet", "did you mean headway.dev/inject?"),
        ("Image", "did you mean headway.dev/image?"),
        ("users-targte", "did you mean headway.dev/users-target?"),
        ("my-users-balancr", "did you mean headway.dev/my-users-balancer?"),
        ("users-log-level", "did you mean headway.dev/log-level?"),
        ("users-", ""),
        ("xyz", ""),
        ("", ""),
    ],
)
def test_a_misspelt_annotation_is_a_wish(name: str, says: str) -> None:
    """It is refused instead of being lost in silence, with a hint at what was meant."""
    services = {"headway.dev/services": "users,my-users"}
    with pytest.raises(Refusal) as refusal:
        ordered(services | {f"headway.dev/{name}": "x"}, GENERAL)

    hint = f"; {says}" if says else ""
    assert refusal.value.reasons == [f"annotation headway.dev/{name} is not known{hint}"]


def test_every_setting_is_known() -> None:
    """Of the process, of the only service, of one of several, whichever way it is written."""
    for row in from_env({"HEADWAY_TARGET": "x:1"}).rows:
        name = row.variable.removeprefix("HEADWAY_").lower().replace("_", "-")
        for spelling in (name, name.upper(), row.variable):
            assert len(settings(ordered({f"headway.dev/{spelling}": "1"}, None))) == 1

    several = {"HEADWAY_SERVICES": "a,b-c", "HEADWAY_A_TARGET": "a:1", "HEADWAY_B_C_TARGET": "b:2"}
    for row in from_env(several).rows:
        order = ordered({"headway.dev/services": "a,b-c", f"headway.dev/{row.variable}": "a,b-c"}, None)
        assert row.variable.removeprefix("HEADWAY_") in settings(order)


def test_many_misspelt_ones() -> None:
    """Ten are named; nobody reads more."""
    with pytest.raises(Refusal) as refusal:
        ordered({f"headway.dev/x{number}": "" for number in range(25)}, None)

    assert len(refusal.value.reasons) == 11
    assert refusal.value.reasons[-1] == "15 more annotations are not known"


def test_services_of_the_webhook_itself() -> None:
    """How many those are is not the pod's concern; their settings are known to it."""
    names = [f"s{number}" for number in range(50)]
    general = Order(image="x", settings={"SERVICES": ",".join(names)})

    assert settings(of(general, s7_balancer="random"))["S7_BALANCER"] == "random"
    assert "SERVICES" in settings(of(general, dns_hold="2s"))


def test_text_in_a_block() -> None:
    """A newline at its end is YAML's, not the setting's."""
    assert settings(of(target="users:9090\n")) == {"TARGET": "users:9090"}


@pytest.mark.parametrize(
    "name,value,reason",
    [
        ("inject", "yes", 'annotation headway.dev/inject: "yes" is neither "true" nor "false"'),
        ("classic", "1", 'annotation headway.dev/classic: "1" is neither "true" nor "false"'),
        ("inject", True, "annotation headway.dev/inject is no text: put its value in quotes"),
        ("health_fall", 3, "annotation headway.dev/health-fall is no text: put its value in quotes"),
        ("target", None, "annotation headway.dev/target is no text: put its value in quotes"),
    ],
)
def test_what_no_annotation_may_say(name: str, value: Any, reason: str) -> None:
    """Kubernetes takes only text, and a wish has to be clear."""
    with pytest.raises(Refusal) as refusal:
        of(GENERAL, **{name: value})

    assert refusal.value.reasons == [reason]


def test_all_of_it_at_once() -> None:
    """Two wrong annotations are two reasons."""
    with pytest.raises(Refusal) as refusal:
        of(inject="maybe", cpu=1, target="a:80")

    assert len(refusal.value.reasons) == 2


def test_one_setting_in_two_spellings() -> None:
    """Which of them counted was a matter of the order; `--set` does not take it twice either."""
    assert settings(of(target="orders:8080", TARGET="orders:8080")) == {"TARGET": "orders:8080"}
    with pytest.raises(Refusal) as caught:
        of(target="orders:8080", dns_hold="1s", HEADWAY_DNS_HOLD="2s", cpu="5m")

    assert caught.value.reasons == [
        "annotations headway.dev/dns-hold and headway.dev/HEADWAY-DNS-HOLD are the same setting: keep one"
    ]
