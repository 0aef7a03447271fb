"""Pods that fail: what they attract, and what a fleet does to a service that is dead."""

from dataclasses import replace
from functools import partial

from loadtest.simulation import stories
from loadtest.simulation.plan import Plan
from loadtest.simulation.pods import FAILING_FAST, Mode
from loadtest.simulation.scenarios.base import CARE, CHOICES, LATENCY, Results, Scenario, Show, for_each

BAD = ("bad_first_5_s", "bad_later")
TEN = Plan(sidecars=100, pods=10, utilisation=0.6, seconds=60, warm_up_s=20)
FEW = replace(TEN, sidecars=3, rate=400.0, slots=50)
ATTEMPTS = 3  # CONNECT_ATTEMPTS


def failing(mode: Mode, plan: Plan) -> dict[str, Plan]:
    return for_each(CHOICES, replace(plan, story=partial(stories.trouble, mode, 0.0)))


def one_bad(mode: Mode, what: str) -> dict[str, Scenario]:
    """Of ten pods: with many quiet sidecars, and with few busy ones."""
    return {
        f"{mode}-pod{name}": Scenario(
            f"One of ten pods {what}; {plan.sidecars} sidecars with {plan.rate:g} connections a second each.",
            failing(mode, plan),
            {"seconds": 40},
            attracted,
            columns=(*LATENCY[:1], *CARE),
            extra=BAD,
            panels=("shares", "p99_ms") if mode in FAILING_FAST else (),
        )
        for name, plan in (("", TEN), ("-few", FEW))
    }


def attracted(results: Results) -> list[Show]:
    said = "{}: the bad pod gets {:.2f} of a fair share, then {:.2f}"
    return [Show(said.format(label, *map(each.extra.get, BAD))) for label, each in results.items()]


def dead(rate: float) -> Plan:
    story = partial(stories.trouble, Mode.REFUSING, 1.0)
    return Plan(sidecars=100, pods=20, rate=rate, utilisation=0.5, seconds=50, warm_up_s=20, story=story)


def not_hammered(results: Results) -> list[Show]:
    return [
        Show(
            f"{label} a second and sidecar: {each.attempts_per_connection:.2f} attempts per connection "
            f"(without a budget: {ATTEMPTS})"
        )
        for label, each in results.items()
    ]


SCENARIOS = {
    **one_bad(Mode.ERRING, "answers at once with an error that a TCP proxy cannot see"),
    **one_bad(Mode.MUTE, "takes what its client says and closes without an answer"),
    **one_bad(Mode.CLOSING, "accepts and closes at once"),
    **one_bad(Mode.REFUSING, "refuses connections, while DNS goes on listing it"),
    **one_bad(Mode.SILENT, "answers no SYN, while DNS goes on listing it"),
    "dead-service": Scenario(
        "All pods refuse, while DNS goes on listing them: what each connection of a client costs.",
        {f"{rate:g} connections": dead(rate) for rate in (1.0, 10.0, 50.0, 200.0)},
        {"sidecars": 20},
        not_hammered,
        columns=(*CARE, "busiest"),
        panels=("attempts",),
    ),
}
