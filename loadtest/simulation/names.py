"""What DNS says of the service, a while after it became true."""

from collections.abc import Iterable
from heapq import nsmallest

from loadtest.simulation.pods import Pod
from loadtest.simulation.timeline import Process, Timeline
from proxy.model import PLAIN, Answer, AnswerKind, Identity
from proxy.policy import subset

REPLY_S = 0.001
FAMILIES = 2  # IP_FAMILY=auto asks for A and AAAA
STAND_INS = 2  # a subset is given so many times its size: the rest is for when members fail


class Names:
    """One name server with its cache. `queries_per_s` counts what it is asked."""

    def __init__(self, timeline: Timeline, lag_s: float, ttl_s: float, seconds: int) -> None:
        self.queries_per_s = [0] * (seconds + 1)
        self._timeline = timeline
        self._lag_s = lag_s
        self._ttl_s = ttl_s
        self._true: Answer = Answer(AnswerKind.NXDOMAIN)
        self._said = self._true
        self._fresh_until = float("-inf")
        self._subsets: dict[str, tuple[Answer, Answer]] = {}  # of each pod: of which answer, and what it is

    def tell(self, pods: Iterable[Pod], at_once: bool = False) -> None:
        """These are ready from now on; DNS learns of it in its time."""
        answer = Answer.of(pod.address for pod in pods if pod.wanting)
        self._timeline.wake(self._learn(answer if answer.endpoints else Answer(AnswerKind.NXDOMAIN), at_once))

    def _learn(self, answer: Answer, at_once: bool) -> Process:
        yield 0.0 if at_once else self._lag_s
        self._true = answer
        if at_once:
            self._fresh_until = float("-inf")

    @property
    def listed(self) -> int:
        """How many pods its last reply had."""
        return len(self._said.endpoints)

    def ask(self, now: float) -> Answer:
        self.queries_per_s[int(now)] += FAMILIES
        if now >= self._fresh_until:
            self._said, self._fresh_until = self._true, now + self._ttl_s
        return self._said

    def ask_subset(self, now: float, pod: str, size: int) -> Answer:
        """What matters of the answer to the sidecar in `pod`: the first ones of its own order.

        Ten million endpoints that nobody uses would not fit into memory. The order is the pool's own.
        """
        answer = self.ask(now)
        if len(answer.endpoints) <= STAND_INS * size:
            return answer
        known, part = self._subsets.get(pod, (None, answer))
        if known is not answer:
            part = _nearest(answer, pod, STAND_INS * size)
            self._subsets[pod] = answer, part
        return part


def _nearest(answer: Answer, pod: str, count: int) -> Answer:
    def rank(identity: Identity) -> int:
        return subset.rank(pod, identity)

    return Answer(AnswerKind.ENDPOINTS, dict.fromkeys(nsmallest(count, answer.endpoints, rank), PLAIN))
