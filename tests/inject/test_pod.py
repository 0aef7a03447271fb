"""What happens to a pod: pure mappings in, no files."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy import __version__
from proxy.inject.order import IMAGE, INJECTED, Order
from proxy.inject.pod import inject, uninject

ORDER = Order(image=IMAGE, settings={"TARGET": "orders.shop.svc.cluster.local.:8080"})
README = Path(__file__).parents[2] / "README.md"


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "shop"}, "spec": {"containers": [{"name": "app", "image": "app:1"}], **spec}}


def named(containers: list[dict[str, Any]]) -> list[str]:
    return [each["name"] for each in containers]


def only_value(container: dict[str, Any], name: str) -> Any:
    (found,) = [each for each in container["env"] if each["name"] == name]
    return found.get("value", found.get("valueFrom"))


def test_it_is_what_the_readme_shows() -> None:
    """Probes, resources, security context, ports and variables are those that the README explains."""
    text = README.read_text().split("```yaml\n")[1].split("```")[0]
    (shown,) = yaml.safe_load(text)["spec"]["initContainers"]
    shown["env"] = [each for each in shown["env"] if each["name"] != "HEADWAY_LISTEN"]  # the default
    shop = pod()
    inject(shop, ORDER)
    (sidecar,) = shop["spec"]["initContainers"]

    assert {key: sidecar[key] for key in sidecar if key != "image"} == {
        key: shown[key] for key in shown if key not in ("image", "command")
    }


def test_it_starts_first() -> None:
    """Init containers that need the network have it; a mark says which version did it."""
    shop = pod(initContainers=[{"name": "migrate"}])
    inject(shop, ORDER)

    assert named(shop["spec"]["initContainers"]) == ["headway", "migrate"]
    assert shop["spec"]["initContainers"][0]["restartPolicy"] == "Always"
    assert named(shop["spec"]["containers"]) == ["app"]
    assert shop["metadata"]["annotations"] == {INJECTED: __version__}


def test_classic() -> None:
    """For old clusters it is the first of the plain containers, without anything that would end it early."""
    shop = pod(initContainers=[{"name": "migrate"}])
    inject(shop, Order(image=IMAGE, settings=ORDER.settings, classic=True))

    assert named(shop["spec"]["containers"]) == ["headway", "app"]
    assert named(shop["spec"]["initContainers"]) == ["migrate"]
    assert not {"restartPolicy", "lifecycle"} & shop["spec"]["containers"][0].keys()


def test_what_was_ordered() -> None:
    """Image, resources and settings are those of the order, the settings in its order."""
    order = Order(
        image="mirror/headway:9",
        settings={"TARGET": "srv://_http._tcp.a.b.svc.", "LISTEN": ":80", "CONNECT_TIMEOUT": "500ms"},
        pull_policy="Never",
        cpu="0.5",
        memory="96Mi",
        memory_limit="1Gi",
    )
    shop = pod()
    inject(shop, order)
    (sidecar,) = shop["spec"]["initContainers"]

    assert (sidecar["image"], sidecar["imagePullPolicy"]) == ("mirror/headway:9", "Never")
    assert sidecar["resources"]["requests"] == {"cpu": "0.5", "memory": "96Mi"}
    assert sidecar["resources"]["limits"] == {"memory": "1Gi"}
    assert named(sidecar["env"]) == [
        "HEADWAY_TARGET",
        "HEADWAY_LISTEN",
        "HEADWAY_CONNECT_TIMEOUT",
        "POD_NAME",
        "POD_NAMESPACE",
    ]
    assert only_value(sidecar, "POD_NAME") == {"fieldRef": {"fieldPath": "metadata.name"}}


@pytest.mark.parametrize("listen,port", [(":9000", 9000), ("[::]:9000", 9000), ("10.1.2.3:9902", 9902)])
def test_probes_follow_the_telemetry_pages(listen: str, port: int) -> None:
    """The kubelet asks where TELEMETRY_LISTEN says."""
    shop = pod()
    inject(shop, Order(image=IMAGE, settings={**ORDER.settings, "TELEMETRY_LISTEN": listen}))
    (sidecar,) = shop["spec"]["initContainers"]

    assert sidecar["ports"] == [{"name": "telemetry", "containerPort": port}]
    assert sidecar["startupProbe"]["httpGet"] == {"path": "/readyz", "port": "telemetry"}
    assert sidecar["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "telemetry"}


@pytest.mark.parametrize(
    "listen", ["off", "unix:/run/t.sock", "127.0.0.1:9902", "localhost:9902", "[::1]:9902", ":0"]
)
def test_no_probe_asks_where_nobody_can(listen: str) -> None:
    """Pages that the kubelet cannot reach would have the sidecar killed again and again."""
    shop = pod()
    inject(shop, Order(image=IMAGE, settings={**ORDER.settings, "TELEMETRY_LISTEN": listen}))
    (sidecar,) = shop["spec"]["initContainers"]

    assert not {"ports", "startupProbe", "livenessProbe", "readinessProbe"} & sidecar.keys()


def test_later_trouble_never_takes_the_application_out() -> None:
    """There is no readiness probe: the pod would leave its Services whenever DNS has a bad minute."""
    shop = pod()
    inject(shop, ORDER)

    assert "readinessProbe" not in shop["spec"]["initContainers"][0]


def test_again() -> None:
    """A second time changes nothing."""
    shop = pod()
    inject(shop, ORDER)
    once = copy.deepcopy(shop)
    inject(shop, ORDER)

    assert shop == once


def test_other_settings_replace_it_where_it_is() -> None:
    """Nothing of the earlier one stays, hand-made changes included; others may have gone in front of it."""
    shop = pod()
    inject(shop, ORDER)
    shop["spec"]["initContainers"].insert(0, {"name": "mesh-init"})
    shop["spec"]["initContainers"][1]["env"].append({"name": "HEADWAY_LOG_LEVEL", "value": "debug"})
    shop["spec"]["initContainers"][1]["tty"] = True
    other = Order(image=IMAGE, settings={"TARGET": "users:9090", "TELEMETRY_LISTEN": "off"})
    inject(shop, other)
    fresh = pod()
    inject(fresh, other)

    assert shop["spec"]["initContainers"] == [{"name": "mesh-init"}, *fresh["spec"]["initContainers"]]


def test_from_native_to_classic() -> None:
    """It moves, there are never two."""
    shop, classic = pod(), Order(image=IMAGE, settings=ORDER.settings, classic=True)
    inject(shop, ORDER)
    inject(shop, classic)
    assert "initContainers" not in shop["spec"]
    assert named(shop["spec"]["containers"]) == ["headway", "app"]

    inject(shop, ORDER)
    assert named(shop["spec"]["initContainers"]) == ["headway"]
    assert named(shop["spec"]["containers"]) == ["app"]


@pytest.mark.parametrize("metadata", [{"name": "shop"}, {"annotations": {"a": "b"}}, None])
@pytest.mark.parametrize("init", [None, [{"name": "migrate"}]])
@pytest.mark.parametrize("classic", [False, True])
def test_out_again(metadata: dict[str, Any] | None, init: list[dict[str, Any]] | None, classic: bool) -> None:
    """Uninject gives back what there was."""
    shop = pod(**({"initContainers": init} if init else {}))
    shop.pop("metadata")
    if metadata:
        shop["metadata"] = metadata
    before = copy.deepcopy(shop)
    inject(shop, Order(image=IMAGE, settings=ORDER.settings, classic=classic))

    assert shop != before
    assert uninject(shop)
    assert shop == before
    assert not uninject(shop)


def test_uninject_leaves_what_inject_did_not_put_in() -> None:
    """A container of that name without the mark belongs to somebody else."""
    theirs = pod(initContainers=[{"name": "headway"}])
    before = copy.deepcopy(theirs)

    assert not uninject(theirs)
    assert theirs == before


@pytest.mark.parametrize("spec", [None, "text", {"containers": "none"}, {"initContainers": [None, 3]}])
def test_uninject_takes_any_shape(spec: Any) -> None:
    """What is no pod any more still loses the mark."""
    odd = {"metadata": {"annotations": {INJECTED: "0.0.9"}}, "spec": spec}

    assert uninject(odd)
    assert odd == {"spec": spec}
