"""The balancing algorithms, one file each, and the one registry that knows them all."""

from importlib import import_module

from proxy.policy.pickers.base import Factory, Pick, Picker, PickInfo

__all__ = ["PICKERS", "Factory", "Pick", "PickInfo", "Picker", "algorithm"]

# By the name of its module, the class in it.
PICKERS = {
    "p2c": "P2C",
    "least_connections": "LeastConnections",
    "round_robin": "RoundRobin",
    "random": "Random",
    "peak_ewma": "PeakEwma",
    "maglev": "Maglev",
    "ordered": "Ordered",
}


def algorithm(name: str) -> Factory:
    """One of PICKERS. It is imported here, when it is asked for: a process needs one of them, seldom more."""
    module = import_module(f"{__name__}.{name}")
    found: Factory = getattr(module, PICKERS[name])
    return found
