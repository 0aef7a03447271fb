"""Says why a pod cannot have the sidecar."""

from proxy.errors import HeadwayError


class Refusal(HeadwayError):
    """Every reason at once; nothing was changed (exit status 2)."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons
