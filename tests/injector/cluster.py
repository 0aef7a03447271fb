"""A small API server over real HTTPS: a Secret, a webhook configuration, and what can go wrong with them."""

import copy
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from proxy.injector.api import Place
from proxy.injector.authority import issue

TOKEN = "the-token"
SECRETS = "/api/v1/namespaces/headway-system/secrets"
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
NAME = "headway-injector"


def configuration() -> dict[str, Any]:
    """As kubectl applied it: two webhooks, no caBundle yet."""
    service = {"namespace": "headway-system", "name": NAME, "path": "/inject", "port": 443}
    webhooks = [
        {"name": f"{name}.headway.dev", "clientConfig": {"service": service}, "timeoutSeconds": 5}
        for name in ("pods", "others")
    ]
    return {"metadata": {"name": NAME, "resourceVersion": "1", "generation": 1}, "webhooks": webhooks}


class Cluster:
    """Its objects by path. `failures`: statuses of the next answers, whatever is asked."""

    def __init__(self) -> None:
        self.objects: dict[str, Any] = {f"{WEBHOOKS}/{NAME}": configuration()}
        self.failures: list[int] = []
        self.asked: list[tuple[str, str]] = []
        self.version = 1
        self.token = TOKEN
        self.before: Any = None  # called with method and path before each answer
        self.port = 0

    @property
    def secret(self) -> Any:
        return self.objects[f"{SECRETS}/headway-injector-tls"]

    @property
    def bundles(self) -> list[str]:
        webhooks = self.objects[f"{WEBHOOKS}/{NAME}"]["webhooks"]
        return [webhook["clientConfig"].get("caBundle", "") for webhook in webhooks]

    def place(self, account: Path) -> Place:
        return Place(
            url=f"https://localhost:{self.port}",
            account=account,
            namespace="headway-system",
            secret="headway-injector-tls",
            service=NAME,
            webhook=NAME,
        )

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, request.path))
        body: Any = await request.json() if request.can_read_body else None
        if self.before is not None:
            await self.before(request.method, request.path)
        if self.failures:
            return status(self.failures.pop(0), "injected")
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return status(401, "Unauthorized")
        if request.method == "POST":
            return self._create(request.path, body)
        if request.path not in self.objects:
            return status(404, f"{request.path.rpartition('/')[2]!r} not found")
        if request.method == "GET":
            return web.json_response(self.objects[request.path])
        return self._change(request, body)

    def _create(self, collection: str, body: Any) -> web.Response:
        path = f"{collection}/{body['metadata']['name']}"
        if path in self.objects:
            return status(409, "already exists")
        assert body["kind"] == "Secret"
        return self._store(path, body, 201)

    def _change(self, request: web.Request, body: Any) -> web.Response:
        there = self.objects[request.path]
        version = there["metadata"]["resourceVersion"]
        if (
            body.get("metadata", {}).get("resourceVersion", version) != version
        ):  # who names none wants no check
            return status(
                409, "the object has been modified; please apply your changes to the latest version"
            )
        if request.method == "PUT":
            return self._store(request.path, body, 200)
        assert request.content_type == "application/strategic-merge-patch+json"
        return self._store(request.path, _merged(there, body), 200)

    def _store(self, path: str, body: Any, code: int) -> web.Response:
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        self.objects[path] = body
        return web.json_response(body, status=code)


def _merged(there: Any, patch: Any) -> Any:
    """A strategic merge: webhooks are found by their names."""
    after = copy.deepcopy(there)
    for each in patch["webhooks"]:
        (webhook,) = (webhook for webhook in after["webhooks"] if webhook["name"] == each["name"])
        webhook["clientConfig"] |= each["clientConfig"]
    return after


def status(code: int, message: str) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}
    return web.Response(text=json.dumps(body), status=code, content_type="application/json")


def _identity(account: Path) -> ssl.SSLContext:
    """The API server's certificate; what a pod needs to trust it, and its own token, are put in `account`."""
    pair = issue(["localhost"], datetime.now(UTC))
    account.mkdir()
    (account / "token").write_text(TOKEN + "\n")
    (account / "ca.crt").write_bytes(pair.authorities)
    file = account.parent / "api.pem"
    file.write_bytes(pair.certificate + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


@asynccontextmanager
async def serving(account: Path) -> AsyncIterator[Cluster]:
    """A cluster that runs, and its token and authority in `account`, as every pod has them."""
    cluster = Cluster()
    context = _identity(account)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", cluster.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        cluster.port = runner.addresses[0][1]
        yield cluster
    finally:
        await runner.cleanup()
