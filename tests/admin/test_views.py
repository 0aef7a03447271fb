"""What the admin pages say of a pool: of why an endpoint was picked, and of endpoints in trouble."""

from typing import Any

from proxy.admin import views
from proxy.clock import SystemClock
from tests.support.fleet import Stage, address


def last_pick(stage: Stage) -> dict[str, Any]:
    """What /why says of one more connection."""
    with stage.pool.lease([]):
        pass
    picks: list[dict[str, Any]] = views.why(stage.settings, stage.pool, SystemClock())["picks"]
    return picks[0]


def endpoint(stage: Stage, number: int) -> dict[str, Any]:
    """What /endpoints says of this pod."""
    shown = views.overview(stage.settings, stage.pool, "127.0.0.1:80", stage.clock.now())["endpoints"]
    return next(each for each in shown if each["endpoint"] == str(address(number)))


def test_nobody_is_usable() -> None:
    """The one that was chosen is not listed as excluded, nor are those that might have been: it says why."""
    stage = Stage(3)
    for number in range(3):
        stage.check(number, False, False, False)
    pick = last_pick(stage)

    assert (pick["panic"], pick["usable"], pick["excluded"]) == ("none_usable", 0, [])
    assert pick["from"] == "panic, as none was usable: all of priority 0 are used"
    assert pick["despite"] == "unhealthy: check failed: refused"


def test_too_few_are_usable() -> None:
    """Below PANIC_THRESHOLD the same, whether a usable one was chosen or not."""
    stage = Stage(4, PANIC_THRESHOLD="50%")
    for number in (0, 1, 2):
        stage.check(number, False, False, False)
    picks = {pick["endpoint"]: pick for pick in (last_pick(stage) for _ in range(50))}

    assert {pick["from"] for pick in picks.values()} == {
        "panic, as too few were usable: all of priority 0 are used"
    }
    assert all(pick["excluded"] == [] for pick in picks.values())
    assert picks[str(address(3))]["despite"] == ""
    assert picks[str(address(0))]["despite"] == "unhealthy: check failed: refused"


def test_no_panic() -> None:
    """Those that were left out are listed with the reason."""
    stage = Stage(3)
    stage.check(0, False, False, False)
    pick = last_pick(stage)

    assert pick["from"] == "usable, priority 0"
    assert (pick["panic"], pick["despite"]) == ("", "")
    assert pick["excluded"] == [
        {"endpoint": str(address(0)), "reason": "unhealthy", "why": "check failed: refused"}
    ]


def test_a_doubtful_one() -> None:
    """A retry that finds nobody else takes one that is out: that one is not called excluded either."""
    stage = Stage(2)
    stage.check(0, False, False, False)
    with stage.pool.lease([stage.pod(1)]):
        pass
    pick = views.why(stage.settings, stage.pool, SystemClock())["picks"][0]

    assert (pick["endpoint"], pick["excluded"]) == (str(address(0)), [])
    assert pick["from"] == "doubtful: no better one was left"
    assert pick["despite"] == "unhealthy: check failed: refused"


def test_a_penalty_is_called_one() -> None:
    """A pod that refuses has the estimate of the longest wait: no client waited so long."""
    stage = Stage(2)
    stage.fail(0)
    with stage.lease(1) as lease:
        lease.connected(0.001)
        lease.succeeded(0.009)

    assert (endpoint(stage, 0)["latency_seconds"], endpoint(stage, 0)["latency_is_penalty"]) == (1.0, True)
    assert endpoint(stage, 1)["latency_seconds"] == 0.01
    assert "latency_is_penalty" not in endpoint(stage, 1)


def test_a_pod_that_gave_no_answer() -> None:
    """It is penalised, and neither ejected nor praised for it."""
    stage = Stage(2)
    with stage.lease(0) as lease:
        lease.connected(0.001)
        lease.unanswered()

    shown = endpoint(stage, 0)
    assert (shown["latency_seconds"], shown["latency_is_penalty"]) == (1.0, True)
    assert shown["state"] == "ready"


def test_failing_checks_after_an_ejection() -> None:
    """Nothing probes a pod whose checks fail: it is called unhealthy, and the reason says so."""
    stage = Stage(3)
    stage.check(0, False, False, False)
    stage.fail(0, times=3)
    stage.clock.advance(10)

    assert stage.state(0) == "unhealthy"
    assert endpoint(stage, 0)["reason"] == "its ejection is over, its checks fail"
