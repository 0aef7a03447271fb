"""Small pods and orders, and what becomes of the one with the other."""

import copy
from typing import Any

from proxy.inject.order import IMAGE, Order
from proxy.inject.pod import Refusal, inject
from proxy.inject.remarks import remarks

TARGET = {"TARGET": "orders.shop.svc.cluster.local.:8080"}


def order(classic: bool = False, image: str = IMAGE, **more: Any) -> Order:
    """Lower-case names are the container's, upper-case ones the proxy's settings."""
    settings = {name: text for name, text in more.items() if name.isupper()}
    fields = {name: text for name, text in more.items() if not name.isupper()}
    return Order(image=image, settings=TARGET | settings, classic=classic, **fields)


def pod(container: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {"metadata": {}, "spec": {"containers": [{"name": "app", **(container or {})}], **spec}}


def reasons(subject: Any, wanted: Order | None = None, **options: bool) -> list[str]:
    """Why it was refused, if it was, and then untouched."""
    before = copy.deepcopy(subject)
    try:
        inject(subject, wanted or order(), **options)
    except Refusal as refusal:
        assert subject == before
        return refusal.reasons
    return []


def said(subject: dict[str, Any], wanted: Order) -> list[str]:
    inject(subject, wanted)
    return remarks(subject, wanted)
