"""Pods that cannot have the sidecar, and those that only have to know something."""

from typing import Any

import pytest

from proxy.inject.order import IMAGE, Order
from tests.inject.pods import order, pod, reasons, said


def ports(*declared: dict[str, Any]) -> dict[str, Any]:
    return {"ports": list(declared)}


# --- ports --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "port,variable,shown",
    [
        (8080, "HEADWAY_LISTEN", "127.0.0.1:8080"),
        (9901, "HEADWAY_ADMIN_LISTEN", "127.0.0.1:9901"),
        (9902, "HEADWAY_TELEMETRY_LISTEN", ":9902"),
    ],
)
@pytest.mark.parametrize("classic", [False, True])
def test_a_port_for_two(port: int, variable: str, shown: str, classic: bool) -> None:
    """A declared port that the sidecar listens on is refused, naming the container and the way out."""
    assert reasons(pod(ports({"containerPort": port})), order(classic)) == [
        f"container app declares port {port}, where the sidecar listens as well:"
        f" set {variable}, which is {shown}, to another port"
    ]


def test_a_port_of_one_of_several_services() -> None:
    """The variable that has to change is the service's own."""
    wanted = Order(image=IMAGE, settings={"SERVICES": "a,b-c", "A_TARGET": "a:8080", "B_C_TARGET": "b:8081"})

    (reason,) = reasons(pod(ports({"containerPort": 8081})), wanted)
    assert "set HEADWAY_B_C_LISTEN, which is 127.0.0.1:8081, to another port" in reason


def test_a_port_of_one_of_several_addresses() -> None:
    """Each address of a list counts; a Unix socket takes no port."""
    wanted = order(LISTEN="unix:/run/o?mode=0660,[::1]:8081?backlog=9,127.0.0.1:8082")

    (reason,) = reasons(pod(ports({"containerPort": 8081}, {"containerPort": 8080})), wanted)
    assert "set HEADWAY_LISTEN, which is [::1]:8081?backlog=9, to another port" in reason


@pytest.mark.parametrize(
    "probe", [{"httpGet": {"port": 8080}}, {"tcpSocket": {"port": 8080}}, {"grpc": {"port": 8080}}]
)
@pytest.mark.parametrize("which", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_a_port_that_only_a_probe_tells(which: str, probe: dict[str, Any]) -> None:
    """Declaring ports is optional; who is probed on one listens there."""
    (reason,) = reasons(pod({which: probe}))
    assert "container app is probed on port 8080, where the sidecar listens as well" in reason


def test_a_port_of_another_sidecar() -> None:
    """Init containers, which may be sidecars as well, are looked at too."""
    (reason,) = reasons(pod(initContainers=[{"name": "mesh", **ports({"containerPort": 9901})}]))
    assert reason.startswith("container mesh declares port 9901")


@pytest.mark.parametrize(
    "container,settings",
    [
        (ports({"containerPort": 8080, "protocol": "UDP"}), {}),
        (ports({"containerPort": 8081, "hostPort": 8080}), {}),
        (ports({"containerPort": 8080}), {"LISTEN": "127.0.0.1:8090"}),
        (ports({"containerPort": 8080}), {"LISTEN": "unix:/run/orders.sock"}),
        (ports({"containerPort": 9901}), {"ADMIN_LISTEN": "off"}),
        (ports({"name": "http", "containerPort": 80}, {"containerPort": None}), {}),
        ({"livenessProbe": {"httpGet": {"port": 8080, "host": "10.0.0.1"}}}, {}),
        ({"livenessProbe": {"httpGet": {"port": "http"}}}, {}),
        ({"livenessProbe": {"exec": {"command": ["true"]}}, "readinessProbe": None}, {}),
    ],
)
def test_ports_that_do_not_meet(container: dict[str, Any], settings: dict[str, Any]) -> None:
    """Another protocol, another port, another host."""
    assert reasons(pod(container), order(**settings)) == []


def test_a_port_name_that_a_service_would_find_twice() -> None:
    """As a plain container the sidecar stands first; as an init container it is looked at last."""
    named = ports({"name": "telemetry", "containerPort": 9000})

    (reason,) = reasons(pod(named), order(classic=True))
    assert reason.startswith("container app has a port named telemetry")
    assert reason.endswith("do without headway.dev/classic, or --classic")
    assert reasons(pod(named), order(classic=True, TELEMETRY_LISTEN="off")) == []
    assert reasons(pod(named)) == []


def test_another_native_sidecar_with_that_port_name() -> None:
    """Kubernetes looks among native sidecars in their order, after all plain containers."""
    other = {"name": "logs", "restartPolicy": "Always", **ports({"name": "telemetry", "containerPort": 9000})}
    (note,) = said(pod(initContainers=[other]), order())

    assert note.startswith("logs has a port named telemetry as well")
    assert said(pod(other | {"name": "app"}, initContainers=[other]), order()) == []
    assert said(pod(initContainers=[{**other, "restartPolicy": None}]), order()) == []
    assert "telemetry as well" not in "".join(
        said(pod(initContainers=[other]), order(TELEMETRY_LISTEN="off"))
    )


# --- the pod ------------------------------------------------------------------------------------


def test_host_network() -> None:
    """Only on request, and then not on a port that the pod itself has declared."""
    host: dict[str, Any] = {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}

    (reason,) = reasons(pod(**host))
    assert reason.startswith("hostNetwork makes the sidecar's ports ports of the node")
    assert reasons(pod(**host), host_network_ok=True) == []
    (reason,) = reasons(pod(ports({"containerPort": 9902}), **host), host_network_ok=True)
    assert "declares port 9902" in reason


@pytest.mark.parametrize("spec", [{"hostNetwork": True}, {"dnsPolicy": "Default"}])
def test_a_pod_that_asks_the_node(spec: dict[str, Any]) -> None:
    """The node's name servers know no Services; a name of another kind, or servers of its own, are fine."""
    (reason,) = reasons(pod(**spec), host_network_ok=True)

    assert reason.startswith("orders.shop.svc.cluster.local.:8080 is a name of the cluster")
    assert reasons(pod(**spec), order(DNS_SERVERS="10.96.0.10"), host_network_ok=True) == []
    assert reasons(pod(**spec), order(TARGET="db.example.:8080"), host_network_ok=True) == []
    assert reasons(pod(**spec), order(TARGET="static://10.0.0.1:8080"), host_network_ok=True) == []
    assert len(reasons(pod(**spec), order(TARGET="db.shop.svc:8080"), host_network_ok=True)) == 1


@pytest.mark.parametrize("where", ["containers", "initContainers"])
def test_a_container_of_that_name(where: str) -> None:
    """One that `headway inject` did not write stays what it is."""
    theirs = pod()
    theirs["spec"][where] = [*theirs["spec"].get(where, []), {"name": "headway"}]

    (reason,) = reasons(theirs)
    assert reason.startswith("container headway is there already")


@pytest.mark.parametrize(
    "spec",
    [
        {"os": {"name": "windows"}},
        {"nodeSelector": {"kubernetes.io/os": "windows"}},
        {"nodeSelector": {"beta.kubernetes.io/os": "windows"}},
    ],
)
def test_windows(spec: dict[str, Any]) -> None:
    """The image is Linux'."""
    assert reasons(pod(**spec)) == ["it runs on Windows, the sidecar on Linux only"]
    assert reasons(pod(os={"name": "linux"}, nodeSelector={"kubernetes.io/os": "linux"})) == []


@pytest.mark.parametrize(
    "odd,reason",
    [
        ({}, "there is no pod: spec is missing or is no mapping"),
        ({"spec": "x"}, "there is no pod: spec is missing or is no mapping"),
        ({"spec": {}}, "there are no containers"),
        ({"spec": {"containers": []}}, "there are no containers"),
        ({"spec": {"containers": {"name": "app"}}}, "containers is no list"),
        ({"spec": {"containers": ["app"]}}, "containers has one without a name"),
        ({"spec": {"containers": [{"image": "app"}]}}, "containers has one without a name"),
        ({"spec": {"containers": [{"name": "app"}], "initContainers": ""}}, "initContainers is no list"),
        ({"spec": {"containers": [{"name": "app"}]}, "metadata": []}, "metadata is no mapping"),
        (
            {"spec": {"containers": [{"name": "app"}]}, "metadata": {"annotations": "a"}},
            "metadata.annotations is no mapping",
        ),
    ],
)
def test_what_is_no_pod(odd: Any, reason: str) -> None:
    """Wrong shapes are reasons, never crashes."""
    assert reasons(odd) == [reason]


# --- the order ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wanted,reason",
    [
        (Order(image=IMAGE, settings={}), "HEADWAY_TARGET: is required: host:port"),
        (order(BALANCER="p3c"), "HEADWAY_BALANCER=p3c: is not known; did you mean p2c?"),
        (order(LISTN=":80"), "HEADWAY_LISTN=:80: is not a setting; did you mean HEADWAY_LISTEN?"),
        (order(ADMIN_LISTEN=":9902"), "HEADWAY_ADMIN_LISTEN=:9902: :9902 is taken by HEADWAY_TELEMETRY"),
        (order(image=""), "image '' is not the name of an image"),
        (order(image="a b"), "image 'a b' is not the name of an image"),
        (order(pull_policy="Sometimes"), "image pull policy 'Sometimes' is none of Always, IfNotPresent"),
        (order(cpu="10Mi"), "cpu '10Mi' is not an amount"),
        (order(memory="64mb"), "memory '64mb' is not an amount"),
        (order(memory_limit=""), "memory limit '' is not an amount"),
        (order(memory="1Gi"), "memory 1Gi is more than its limit 256Mi"),
        (order(memory="300M"), "memory 300M is more than its limit 256Mi"),
        (order(memory="0.25001Gi"), "memory 0.25001Gi is more than its limit 256Mi"),
        (order(memory_limit="0"), "memory limit 0 means that there is none"),
        (order(memory="0", memory_limit="0.0Mi"), "memory limit 0.0Mi means that there is none"),
        (order(cpu="\u0661\u0660m"), "cpu '\u0661\u0660m' is not an amount"),  # digits, but not of ASCII
        (order(memory="\uff16\uff14Mi"), "memory '\uff16\uff14Mi' is not an amount"),
        (order(memory_limit="\u096856Mi"), "memory limit '\u096856Mi' is not an amount"),
        (order(cpu="9" * 40), "cpu '9"),
        (order(memory_limit="1e9"), "memory limit '1e9' is not an amount"),
    ],
)
def test_an_order_that_cannot_work(wanted: Order, reason: str) -> None:
    """Settings are refused in the words of the proxy itself."""
    (found,) = reasons(pod(), wanted)
    assert found.startswith(reason)


@pytest.mark.parametrize(
    "memory,limit", [("256Mi", "256Mi"), ("200M", "256Mi"), ("260M", "256Mi"), ("1", "1k"), ("0.5G", "1Gi")]
)
def test_amounts(memory: str, limit: str) -> None:
    """A request may be as large as the limit, in whatever units."""
    assert reasons(pod(), order(memory=memory, memory_limit=limit, cpu="0.25")) == []


def test_every_reason_at_once() -> None:
    """Whoever mends one finds no next one."""
    bad = pod(
        ports({"containerPort": 9902}, {"containerPort": 8080}), hostNetwork=True, os={"name": "windows"}
    )

    assert len(reasons(bad, order(cpu="x"))) == 6
    assert len(reasons(bad, order(BALANCER="p3c", DNS_HOLD="x"))) == 4
    assert len(reasons({}, order(BALANCER="p3c", cpu="x"))) == 3


# --- remarks ------------------------------------------------------------------------------------


def test_nothing_to_remark() -> None:
    """A plain case is silent."""
    assert said(pod(), order()) == []
    assert said(pod(restartPolicy="Never"), order()) == []
    assert said(pod(terminationGracePeriodSeconds=25), order()) == []


@pytest.mark.parametrize("listen", ["off", "127.0.0.1:9902"])
def test_no_probes(listen: str) -> None:
    """Without probes nobody waits for the sidecar."""
    assert said(pod(), order(TELEMETRY_LISTEN=listen)) == [
        f"no probes: the kubelet cannot reach HEADWAY_TELEMETRY_LISTEN={listen}"
    ]


@pytest.mark.parametrize("policy", ["OnFailure", "Never"])
def test_a_classic_job(policy: str) -> None:
    """It would run for ever."""
    (remark,) = said(pod(restartPolicy=policy), order(classic=True))
    assert remark.startswith("as a plain container it does not end by itself")


def test_a_low_port() -> None:
    """The sidecar is not root; the sysctl that lets everyone listen there is safe."""
    sysctl = {"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}
    low = order(TARGET="orders:80")

    (remark,) = said(pod(), low)
    assert remark.startswith("HEADWAY_LISTEN 127.0.0.1:80: before containerd 2.0 only root may listen")
    assert said(pod(securityContext={"sysctls": [sysctl]}), low) == []


def test_a_short_grace() -> None:
    """What the kubelet kills has not drained."""
    (remark,) = said(pod(terminationGracePeriodSeconds=10), order())
    assert remark == (
        "HEADWAY_DRAIN_TIMEOUT is 25 s, but the kubelet kills after terminationGracePeriodSeconds, 10 s"
    )
    assert len(said(pod(), order(DRAIN_TIMEOUT="1m"))) == 1
