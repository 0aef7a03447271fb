"""What all sidecars of a fleet have in common."""

from loadtest.simulation.measures import Measures
from loadtest.simulation.names import Names
from loadtest.simulation.plan import Plan
from loadtest.simulation.pods import Pod
from loadtest.simulation.timeline import Timeline
from loadtest.simulation.traffic import SERVICE_TIMES
from proxy.model import Address
from tests.support import service_settings


class World:
    """`pods`: all there ever were, by their address."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.timeline = Timeline()
        self.pods: dict[Address, Pod] = {}
        self.names = Names(self.timeline, plan.dns_lag_s, plan.dns_ttl_s, plan.seconds)
        self.measures = Measures(plan.warm_up_s)
        self.service_time = SERVICE_TIMES[plan.service](plan.service_s)
        self.settings = service_settings(TARGET="web:80", BALANCER=plan.balancer, **plan.settings)
