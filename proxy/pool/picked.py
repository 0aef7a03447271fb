"""What there is to say of the last picks, for people who ask why. Noted cheaply, told in full later."""

import msgspec

from proxy.policy.endpoint import Endpoint
from proxy.pool.tiers import Chosen, Field

LENGTH = 100


class Picked(msgspec.Struct, frozen=True):
    """One pick: `chosen` from `field`, after `tried` had failed."""

    at: float
    tried: tuple[Endpoint, ...]
    chosen: Chosen
    field: Field
