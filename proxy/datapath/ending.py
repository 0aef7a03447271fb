"""Makes of the end of a connection what the access log tells."""

from collections.abc import Sequence

from proxy.datapath.relay import End
from proxy.errors import HeadwayError
from proxy.model import BY_PROXY
from proxy.observe.access import AccessRecord
from proxy.policy.endpoint import Endpoint


def record(
    service: str,
    outcome: str,
    how: End | HeadwayError,
    tried: Sequence[Endpoint] = (),
    connect_s: float = 0.0,
) -> AccessRecord:
    """`connect_s`: how long the last one that was tried took to accept; 0 = it did not, or came connected."""
    told = AccessRecord(service, outcome, *_ended(how))
    if tried:
        pod = tried[-1]
        told.endpoint, told.identity = pod.label, pod.identity.name.partition(".")[0]
        told.attempts = len(tried)
    if connect_s:
        told.connect_ms = round(connect_s * 1000, 3)
    if isinstance(how, End):
        told.to_pod, told.from_pod, told.spare = how.to_pod, how.from_pod, how.spare
    return told


def _ended(how: End | HeadwayError) -> tuple[str, str]:
    """Who ended it, and what there is to say."""
    if isinstance(how, HeadwayError):
        return "client" if how.source == "client" else "proxy", str(how)
    return "proxy" if how.reason in BY_PROXY else "pod" if how.pod_first else "client", ""
