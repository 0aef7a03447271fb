"""Changes a pod, or the template of one: the sidecar goes in, is replaced, or comes out again.

A pod is a mapping with `metadata` and `spec`, a plain dict or one that remembers its comments.
"""

from collections.abc import Mapping, MutableMapping
from typing import Any

from proxy import __version__
from proxy.inject.order import INJECTED, Order
from proxy.inject.refusal import Refusal
from proxy.inject.sidecar import NAME, container
from proxy.inject.suitable import settings_for

__all__ = ["LISTS", "Refusal", "inject", "take_out", "uninject"]

Mutable = MutableMapping[str, Any]
LISTS = ("initContainers", "containers")


def inject(pod: Mutable, order: Order, *, host_network_ok: bool = False) -> None:
    """Add the sidecar as the first container to start, or bring an earlier one up to date where it is.

    Raises Refusal, with every reason and before any change, where it would not work.
    """
    wanted = container(order, settings_for(pod, order, host_network_ok=host_network_ok))
    spec = pod["spec"]
    home, other = reversed(LISTS) if order.classic else LISTS
    take_out(spec, other)
    siblings = _entry(spec, home, [], before="containers")
    there = next((each for each in siblings if each["name"] == NAME), None)
    if there is None:
        siblings.insert(0, wanted)
    else:
        _become(there, wanted)
    metadata = _entry(pod, "metadata", {}, before="spec")
    annotations = _entry(metadata, "annotations", {})
    if annotations.get(INJECTED) != __version__:
        annotations[INJECTED] = __version__


def uninject(pod: Mutable) -> bool:
    """Take out what `inject` put in; whether there was anything. What is empty then goes too."""
    metadata = pod.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, Mapping) else None
    if not isinstance(annotations, Mapping) or INJECTED not in annotations:
        return False
    if isinstance(pod.get("spec"), Mapping):
        for home in LISTS:
            take_out(pod["spec"], home)
    del pod["metadata"]["annotations"][INJECTED]
    for holder, key in ((pod["metadata"], "annotations"), (pod, "metadata")):
        if not holder[key]:
            del holder[key]
    return True


def take_out(spec: Mutable, home: str) -> None:
    """Take the sidecar out of one of the LISTS; an empty list goes with it."""
    siblings = spec.get(home)
    if not isinstance(siblings, list):
        return
    for place, each in enumerate(siblings):
        if isinstance(each, Mapping) and each.get("name") == NAME:
            del siblings[place]
            if not siblings:
                del spec[home]
            return


def _entry(holder: Mutable, key: str, empty: Any, before: str = "") -> Any:
    """What `holder` has under `key`; if nothing, `empty` is put there, where it can in front of a key."""
    if holder.get(key) is None:
        keys = list(holder)
        # A mapping that was read from a file also has an order that people see.
        if key not in keys and before in keys and hasattr(holder, "insert"):
            holder.insert(keys.index(before), key, empty)
        else:
            holder[key] = empty
    return holder[key]


def _become(old: Any, new: Any) -> None:
    """Make `old` equal to `new` by touching only what differs: comments hang on the rest."""
    if isinstance(old, list):
        del old[len(new) :]
        old.extend(new[len(old) :])
        pairs: Any = list(enumerate(new))
    else:
        for key in [key for key in old if key not in new]:
            del old[key]
        pairs = list(new.items())
    for place, (key, value) in enumerate(pairs):
        there = old[key] if isinstance(old, list) else old.get(key)
        if isinstance(there, (dict, list)) and type(value) is _plain(there):
            _become(there, value)
        elif isinstance(old, dict) and key not in old and hasattr(old, "insert"):
            old.insert(place, key, value)
        elif there != value:
            old[key] = value


def _plain(value: Any) -> type:
    return dict if isinstance(value, dict) else list
