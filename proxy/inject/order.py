"""Reads which sidecar a pod asks for: its annotations on top of what the caller asks for in general."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from proxy import __version__
from proxy.inject.refusal import Refusal

DOMAIN = "headway.dev/"
INJECTED = DOMAIN + "injected"  # the version that did it
IMAGE = f"headway:{__version__}"
BOOLEANS = {"true": True, "false": False}

# Annotations that are no settings of the proxy, and the field of Order that each sets.
FIELDS = {
    "image": "image",
    "image-pull-policy": "pull_policy",
    "cpu": "cpu",
    "memory": "memory",
    "memory-limit": "memory_limit",
    "classic": "classic",
}


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One sidecar. `settings`: names without HEADWAY_; `classic`: a plain container, for clusters < 1.29."""

    image: str
    settings: Mapping[str, str]
    classic: bool = False
    pull_policy: str = ""  # Kubernetes' own default
    cpu: str = "10m"
    memory: str = "64Mi"
    memory_limit: str = "256Mi"


def setting_name(text: str) -> str:
    """`connect-timeout` and HEADWAY_CONNECT_TIMEOUT as the name they both mean."""
    return text.upper().replace("-", "_").removeprefix("HEADWAY_")


def ordered(annotations: Mapping[str, str], defaults: Order | None) -> Order | None:
    """What a pod with these annotations gets; None = no sidecar. Raises Refusal.

    Any annotation of ours asks for one, so that a misspelt one is not lost in silence. Without annotations
    it takes `defaults` that name a target; `headway.dev/inject: "false"` declines those.
    """
    ours = {
        name.removeprefix(DOMAIN): text
        for name, text in annotations.items()
        if str(name).startswith(DOMAIN) and name != INJECTED
    }
    if ours.get("inject") == "false":
        return None
    base = defaults or Order(image=IMAGE, settings={})
    if not ours:
        return base if {"TARGET", "SERVICES"} & base.settings.keys() else None
    reasons = _faults(ours)
    if reasons:
        raise Refusal(reasons)
    ours = {name: text.strip() for name, text in ours.items()}  # a block of text ends with a newline
    fields: dict[str, Any] = {FIELDS[name]: text for name, text in ours.items() if name in FIELDS}
    if "classic" in fields:
        fields["classic"] = BOOLEANS[fields["classic"]]
    own = {setting_name(name): text for name, text in ours.items() if name not in {"inject", *FIELDS}}
    settings = {**_not_replaced(base.settings, own), **own}
    return msgspec.structs.replace(base, settings=settings, **fields)


def _faults(ours: Mapping[str, Any]) -> list[str]:
    """What Kubernetes itself, or the words `true` and `false`, do not allow."""
    reasons = []
    for name, text in ours.items():
        if not isinstance(text, str):
            reasons.append(f"annotation {DOMAIN}{name} is no text: put its value in quotes")
        elif name in ("inject", "classic") and text not in BOOLEANS:
            reasons.append(f'annotation {DOMAIN}{name}: "{text}" is neither "true" nor "false"')
    return reasons


def _not_replaced(base: Mapping[str, str], own: Iterable[str]) -> dict[str, str]:
    """The settings in `base` that still mean something when `own` says where connections lead."""
    kept = dict(base)
    if "SERVICES" in own:
        kept.pop("TARGET", None)
        kept.pop("LISTEN", None)
    if "TARGET" in own or "SERVICES" in own:
        services = [setting_name(each.strip()) + "_" for each in kept.pop("SERVICES", "").split(",")]
        kept = {name: text for name, text in kept.items() if not _is_of(name, services)}
    return kept


def _is_of(name: str, services: list[str]) -> bool:
    return any(prefix != "_" and name.startswith(prefix) for prefix in services)
