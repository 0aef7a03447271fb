"""What happens to a fleet while it serves: each begins at the end of the warm-up."""

from collections import Counter

from loadtest.simulation.fleet import Fleet
from loadtest.simulation.measures import Result
from loadtest.simulation.pods import Mode, Pod
from loadtest.simulation.timeline import Process

ROLLOUT_STEPS = 10  # the pods are replaced in so many steps
ROLLOUT_STEP_S = 4.0
FIRST_SECONDS = (1, 5, 10)
SETTLED_S = 5.0


def rolling_restart(grace_s: float, fleet: Fleet) -> Process:
    """Every pod is replaced. An old one leaves DNS, and listens for `grace_s` more: a preStop that sleeps."""
    old = list(fleet.pods)
    fleet.report.append(lambda result: _tell_of_open(fleet, result))
    yield fleet.plan.warm_up_s
    for step in range(ROLLOUT_STEPS):
        leaving = old[step::ROLLOUT_STEPS]
        for pod in leaving:
            fleet.add_pod(pod.slowness)
            pod.wanting = False
        fleet.list_pods()
        fleet.timeline.begin(_end_later(fleet, leaving, grace_s))
        yield ROLLOUT_STEP_S


def _end_later(fleet: Fleet, pods: list[Pod], grace_s: float) -> Process:
    yield grace_s
    for pod in pods:
        fleet.end_pod(pod)


def _tell_of_open(fleet: Fleet, result: Result) -> None:
    """How many connections each pod that is there in the end holds, where the mean is 1."""
    counts = [pod.open for pod in fleet.pods if pod.wanting]
    mean = sum(counts) / len(counts) or 1.0
    result.extra |= {"fewest_open": round(min(counts) / mean, 2), "most_open": round(max(counts) / mean, 2)}


def scale_up(fleet: Fleet) -> Process:
    """One pod more."""
    yield fleet.plan.warm_up_s
    pod = fleet.add_pod()
    fleet.list_pods()
    fleet.report.append(lambda result: _tell_of_newcomer(fleet, pod, result))


def company(held: int, newcomers: int, fleet: Fleet) -> Process:
    """Every sidecar opens connections that it holds; then pods join."""
    yield fleet.plan.warm_up_s
    for sidecar in fleet.sidecars:
        for _ in range(held):
            fleet.timeline.begin(sidecar.connection(fleet.key(sidecar)))
    yield SETTLED_S
    for _ in range(newcomers):
        fleet.add_pod()
    fleet.list_pods()
    fleet.report.append(lambda result: _tell_of_open(fleet, result))
    fleet.report.append(lambda result: _tell_of_moves(fleet, held, result))


def _tell_of_moves(fleet: Fleet, held: int, result: Result) -> None:
    """What part of the connections was closed."""
    closed = sum(sidecar.moves.closed for sidecar in fleet.sidecars if sidecar.moves is not None)
    result.extra["closed"] = round(closed / held / len(fleet.sidecars), 2)


def _tell_of_newcomer(fleet: Fleet, pod: Pod, result: Result) -> None:
    """Its connections in each second, and in the first ones, where a fair share is 1."""
    seconds = range(fleet.plan.seconds)
    all_in = [sum(each.attempts_per_s[second] for each in fleet.pods) for second in seconds]
    fair = [count / len(fleet.pods) or 1.0 for count in all_in]
    share = [round(pod.attempts_per_s[second] / fair[second], 3) for second in seconds]
    result.series["newcomer"] = share
    first = next((second for second in seconds if pod.attempts_per_s[second]), 0)
    result.extra["comes_after_s"] = first - fleet.plan.warm_up_s
    for count in FIRST_SECONDS:
        span = slice(first, first + count)
        result.extra[f"first_{count}_s"] = round(sum(pod.attempts_per_s[span]) / sum(fair[span]), 3)
    result.extra["most_in_a_second"] = max(share)


def trouble(mode: Mode, share: float, fleet: Fleet) -> Process:
    """A `share` of the pods turns bad, at least one."""
    yield fleet.plan.warm_up_s
    bad = fleet.pods[-max(1, round(share * len(fleet.pods))) :]
    for pod in bad:
        pod.mode = mode
    fleet.report.append(lambda result: _tell_of_bad(fleet, bad, result))


def _tell_of_bad(fleet: Fleet, bad: list[Pod], result: Result) -> None:
    """What they attracted, where a fair share is 1: at once, and when it has been like that for a while."""
    since, until = fleet.plan.warm_up_s, fleet.plan.seconds
    for name, begin, end in (("bad_first_5_s", since, since + 5), ("bad_later", since + 5, until)):
        theirs = sum(sum(pod.attempts_per_s[begin:end]) for pod in bad)
        whole = sum(sum(pod.attempts_per_s[begin:end]) for pod in fleet.pods) or 1
        result.extra[name] = round(theirs / whole * len(fleet.pods) / len(bad), 3)


def users(fleet: Fleet) -> Process:
    """Nothing happens; how many sidecars use each pod is reported."""
    yield fleet.plan.warm_up_s
    used = Counter(endpoint.address for sidecar in fleet.sidecars for endpoint in sidecar.pool.active)
    counts = {"users_mean": used.total() / len(fleet.pods), "users_most": max(used.values())}
    fleet.report.append(lambda result: result.extra.update(counts))


def first_connections(fleet: Fleet) -> Process:
    """Every sidecar makes its first connection, all at once."""
    yield fleet.plan.warm_up_s
    for sidecar in fleet.sidecars:
        fleet.timeline.begin(sidecar.connection(fleet.key(sidecar)))
    reached = sum(any(pod.attempts_per_s) for pod in fleet.pods)
    fleet.report.append(lambda result: result.extra.update(pods_reached=reached))
