"""Owns the endpoints of one service. The one place where the control path and the data path meet."""

from proxy.pool.history import Heard
from proxy.pool.lease import Lease
from proxy.pool.picked import Picked
from proxy.pool.pool import Pool
from proxy.pool.roster import FORGET_AFTER_S

__all__ = ["FORGET_AFTER_S", "Heard", "Lease", "Picked", "Pool"]
