"""Small manifests, and what the two commands make of them."""

from typing import Any

import yaml

from proxy.inject.manifest import Rewritten, injecting, rewrite, uninjecting
from proxy.inject.order import IMAGE, Order

TWO = """\
apiVersion: v1
kind: List
items:
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: one}
  spec:
    template: &template
      metadata:
        annotations: {a: b}
      spec:
        containers: [{name: app, image: x}]
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: two}
  spec: {template: *template}
"""

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: shop}
spec:
  containers:
  - name: app
    image: app:1
"""


def inject(text: str, target: str | None = "orders:8080") -> Rewritten:
    settings = {"TARGET": target} if target else {}
    return rewrite("app.yaml", text, injecting(Order(image=IMAGE, settings=settings), False))


def ok(text: str) -> str:
    """The file with sidecars; and that a second run changes nothing."""
    result = inject(text)
    assert result.refusals == []
    assert result.text == result.kept
    assert inject(result.text).text == result.text
    return result.text


def out(text: str) -> str:
    return rewrite("app.yaml", text, uninjecting).text


def spec(text: str) -> dict[str, Any]:
    """The pod's spec as kubectl would read it."""
    document = yaml.safe_load(text)
    return dict(document["spec"].get("template", document)["spec"])
