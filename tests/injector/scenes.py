"""What the injector's tests share: reviews as an API server sends them, certificates, a webhook that runs."""

import asyncio
import base64
import copy
import io
import json
import ssl
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import jsonpatch

from proxy.bind import bind
from proxy.clock import SystemClock
from proxy.config import Listen
from proxy.inject.order import Order
from proxy.injector.authority import Pair, issue
from proxy.injector.certificates import Certificates
from proxy.injector.metrics import Metrics
from proxy.injector.server import Webhook, serve_tls

T = TypeVar("T")

NAMES = ["headway-injector.headway-system.svc", "headway-injector.headway-system.svc.cluster.local"]
DEFAULTS = Order(image="registry.example/headway:1", settings={})
TARGET = {"headway.dev/target": "orders.shop.svc.cluster.local.:9090"}


def run(story: Coroutine[Any, Any, T], within_s: float = 60.0) -> T:
    """Run `story` on the loop that the injector uses; TimeoutError when it hangs."""

    async def bounded() -> T:
        async with asyncio.timeout(within_s):
            return await story

    return asyncio.run(bounded())


class HastyClock(SystemClock):
    """The real time, but nobody sleeps for long."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.005))


def pod(annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """A pod of a ReplicaSet as it stands after the API server's own defaults."""
    token = {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}
    access = {"name": "kube-api-access-x7l2p", "projected": {"sources": [token], "defaultMode": 420}}
    mount = {
        "name": "kube-api-access-x7l2p",
        "readOnly": True,
        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
    }
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "shop-7d9f8c6b5", "uid": "5b1e"}
    metadata: dict[str, Any] = {
        "generateName": "shop-7d9f8c6b5-",
        "creationTimestamp": None,
        "labels": {"app": "shop", "pod-template-hash": "7d9f8c6b5"},
        "ownerReferences": [owner],
    }
    if annotations is not None:
        metadata["annotations"] = annotations
    container = {
        "name": "app",
        "image": "shop:3",
        "ports": [{"containerPort": 8000, "protocol": "TCP"}],
        "resources": {},
        "volumeMounts": [mount],
        "terminationMessagePath": "/dev/termination-log",
        "imagePullPolicy": "IfNotPresent",
    }
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": metadata,
        "spec": {
            "volumes": [access],
            "containers": [container],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "default",
            "schedulerName": "default-scheduler",
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}],
            "priority": 0,
            "enableServiceLinks": True,
            **spec,
        },
        "status": {},
    }


def asking(about: Any, **request: Any) -> dict[str, Any]:
    """The AdmissionReview for a new pod."""
    pods = {"group": "", "version": "v1", "resource": "pods"}
    return {
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": pods,
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "requestResource": pods,
            "namespace": "shop",
            "operation": "CREATE",
            "userInfo": {
                "username": "system:serviceaccount:kube-system:replicaset-controller",
                "groups": ["system:serviceaccounts", "system:authenticated"],
            },
            "object": about,
            "oldObject": None,
            "dryRun": False,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
            **request,
        },
    }


def patch_of(answer: bytes) -> list[dict[str, Any]]:
    """The operations in an answer; none where it changes nothing."""
    response = json.loads(answer)["response"]
    if "patch" not in response:
        return []
    assert response["patchType"] == "JSONPatch"
    return list(json.loads(base64.b64decode(response["patch"])))


def patched(before: Any, answer: bytes) -> Any:
    """The pod as the API server sees it then; what applies the patch is somebody else's code."""
    return jsonpatch.apply_patch(copy.deepcopy(before), patch_of(answer))


def put(directory: Path, pair: Pair) -> None:
    """Mount another Secret."""
    (directory / "tls.crt").write_bytes(pair.certificate)
    (directory / "tls.key").write_bytes(pair.key)


def trusting(*pairs: Pair) -> ssl.SSLContext:
    """As an API server whose caBundle has the authorities of these; and stricter than it is."""
    context = ssl.create_default_context(cadata=b"".join(pair.authorities for pair in pairs).decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


def new_pair() -> Pair:
    return issue(NAMES, datetime.now(UTC))


class Running:
    """A webhook on a port of its own."""

    def __init__(self, directory: Path, pair: Pair, port: int) -> None:
        self.directory = directory
        self.pair = pair
        self.url = f"https://127.0.0.1:{port}/inject?timeout=5s"
        self.port = port
        self.metrics = Metrics()
        self.clock = HastyClock()
        self.certificates = Certificates(directory, self.clock)
        self.webhook = Webhook(DEFAULTS, self.metrics, self.clock)

    def session(self, **kwargs: Any) -> aiohttp.ClientSession:
        """A client as the API server is one."""
        connector = aiohttp.TCPConnector(ssl=trusting(self.pair), **kwargs)
        return aiohttp.ClientSession(connector=connector)

    async def post(self, session: aiohttp.ClientSession, body: bytes) -> tuple[int, bytes]:
        async with session.post(self.url, data=io.BytesIO(body), server_hostname=NAMES[0]) as response:
            return response.status, await response.read()

    def counted(self, result: str) -> float:
        """How many reviews /metrics says had this result."""
        name = f'headway_injector_reviews_total{{result="{result}"}} '
        lines = self.metrics.render(None).decode().splitlines()
        return float(next(line for line in lines if line.startswith(name)).removeprefix(name))


@asynccontextmanager
async def running(directory: Path) -> AsyncIterator[Running]:
    pair = new_pair()
    put(directory, pair)
    async with AsyncExitStack() as cleanup:
        socks = bind(Listen("127.0.0.1", 0), "LISTEN")
        here = Running(directory, pair, socks[0].getsockname()[1])
        here.certificates.look()
        await serve_tls(here.webhook, socks, here.certificates.context, cleanup)
        yield here
