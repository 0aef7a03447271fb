"""Reads which sidecar a pod asks for: its annotations on top of what the caller asks for in general."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from proxy import __version__
from proxy.config import PREFIX, from_env
from proxy.config.environment import WORD
from proxy.config.values import nearest
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
NO_SETTINGS = ("inject", *FIELDS)

# The webhook reads them before Kubernetes has looked at them, and all other pods wait for it meanwhile.
MOST_ANNOTATIONS = 200
MOST_CHARACTERS = 8 << 10
MOST_SERVICES = 32
MOST_HINTS = 10  # at what was meant

# The settings that each of several services can have of its own, and all that there are.
_all = [
    row.variable.removeprefix(PREFIX)
    for row in from_env({f"{PREFIX}SERVICES": "x", f"{PREFIX}X_TARGET": "x:1"}).rows
]
OF_A_SERVICE = [name.removeprefix("X_") for name in _all if name.startswith("X_")]
SETTINGS = [*OF_A_SERVICE, *(name for name in _all if not name.startswith("X_"))]


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
    _refuse(_faults(ours))
    ours = {name: text.strip() for name, text in ours.items()}  # a block of text ends with a newline
    fields: dict[str, Any] = {FIELDS[name]: text for name, text in ours.items() if name in FIELDS}
    if "classic" in fields:
        fields["classic"] = BOOLEANS[fields["classic"]]
    own = {setting_name(name): text for name, text in ours.items() if name not in NO_SETTINGS}
    settings = {**_not_replaced(base.settings, own), **own}
    services = _prefixes(settings.get("SERVICES", ""))
    _refuse(_excess(ours, own, services))
    _refuse(_unknown(ours, services))
    _refuse(_twice(ours))
    return msgspec.structs.replace(base, settings=settings, **fields)


def _refuse(reasons: Iterable[str]) -> None:
    if found := list(reasons):
        raise Refusal(found)


def _faults(ours: Mapping[str, Any]) -> list[str]:
    """What Kubernetes itself, or the words `true` and `false`, do not allow."""
    reasons = []
    for name, text in ours.items():
        if not isinstance(text, str):
            reasons.append(f"annotation {DOMAIN}{name} is no text: put its value in quotes")
        elif name in ("inject", "classic") and text not in BOOLEANS:
            reasons.append(f'annotation {DOMAIN}{name}: "{text}" is neither "true" nor "false"')
    return reasons


def _excess(ours: Mapping[str, str], own: Mapping[str, str], services: list[str]) -> Iterator[str]:
    """What would take too long to read: each service reads anew what all of them share."""
    if len(ours) > MOST_ANNOTATIONS:
        yield f"it has {len(ours)} annotations {DOMAIN}…, more than {MOST_ANNOTATIONS}"
    named = max(len(services), own.get("SERVICES", "").count(",") + 1)
    if "SERVICES" in own and named > MOST_SERVICES:
        yield f"annotation {DOMAIN}services names {named} services, more than {MOST_SERVICES}"
    size = sum(len(name) + len(text) for name, text in ours.items())
    shared = sum(len(text) for name, text in own.items() if name in OF_A_SERVICE)
    if size + shared * len(services[1:]) > MOST_CHARACTERS:
        times = f", of which {shared} count for each of {len(services)} services" if services[1:] else ""
        yield f"its annotations {DOMAIN}… have {size} characters{times}: more than {MOST_CHARACTERS}"


def _twice(ours: Mapping[str, str]) -> Iterator[str]:
    """Spellings of one setting that say different things; nobody could tell which counts."""
    spelt: dict[str, str] = {}
    for name, text in ours.items():
        first = name if name in NO_SETTINGS else spelt.setdefault(setting_name(name), name)
        if ours[first] != text:
            yield f"annotations {DOMAIN}{first} and {DOMAIN}{name} are the same setting: keep one"


def _unknown(ours: Iterable[str], services: list[str]) -> Iterator[str]:
    """The annotations that mean nothing. The proxy finds them too, but compares each with far more names."""
    settings = [name for name in ours if name not in NO_SETTINGS]
    names = [name for name in settings if not _is_setting(setting_name(name), services)]
    for name in names[:MOST_HINTS]:
        yield f"annotation {DOMAIN}{name} is not known{_meant(setting_name(name), services)}"
    if more := names[MOST_HINTS:]:
        yield f"{len(more)} more annotations are not known"


def _is_setting(name: str, services: list[str]) -> bool:
    return name in SETTINGS or any(
        name.removeprefix(each) in OF_A_SERVICE for each in services if name.startswith(each)
    )


def _meant(name: str, services: list[str]) -> str:
    """A hint at a known annotation, or nothing."""
    prefix = max((each for each in services if name.startswith(each)), key=len, default="")
    rest, known = name.removeprefix(prefix), OF_A_SERVICE
    if not prefix or rest in SETTINGS:  # the latter is the whole process' and no service's
        prefix, known = "", SETTINGS
    words = [*map(_spelt, known), *(() if prefix else NO_SETTINGS)]
    return nearest(_spelt(rest), words, DOMAIN + _spelt(prefix))


def _not_replaced(base: Mapping[str, str], own: Iterable[str]) -> dict[str, str]:
    """The settings in `base` that still mean something when `own` says where connections lead."""
    kept = dict(base)
    if "SERVICES" in own:
        kept.pop("TARGET", None)
        kept.pop("LISTEN", None)
    if "TARGET" in own or "SERVICES" in own:
        services = tuple(_prefixes(kept.pop("SERVICES", "")))
        kept = {name: text for name, text in kept.items() if not name.startswith(services)}
    return kept


def _prefixes(services: str) -> list[str]:
    """What the settings of each service begin with."""
    return list(dict.fromkeys(each.upper().replace("-", "_") + "_" for each in WORD.findall(services)))


def _spelt(name: str) -> str:
    """A setting as its annotation is written."""
    return name.lower().replace("_", "-")
