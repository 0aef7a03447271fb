"""The balancing algorithms, one file each, and the one registry that knows them all."""

from proxy.policy.pickers.base import Factory, Pick, Picker, PickInfo
from proxy.policy.pickers.least_connections import LeastConnections
from proxy.policy.pickers.maglev import Maglev
from proxy.policy.pickers.ordered import Ordered
from proxy.policy.pickers.p2c import P2C
from proxy.policy.pickers.peak_ewma import PeakEwma
from proxy.policy.pickers.random import Random
from proxy.policy.pickers.round_robin import RoundRobin

__all__ = ["PICKERS", "Factory", "Pick", "PickInfo", "Picker"]

PICKERS: dict[str, Factory] = {
    "p2c": P2C,
    "least_connections": LeastConnections,
    "round_robin": RoundRobin,
    "random": Random,
    "peak_ewma": PeakEwma,
    "maglev": Maglev,
    "ordered": Ordered,
}
