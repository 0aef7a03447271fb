"""Decides what is wrong with the pods, by the connections they took. Knows no sockets."""

from collections import Counter
from collections.abc import Iterator

from proxy.config import DnsTarget, HealthCheck, ServiceSettings
from proxy.doctor.answers import stale_pods
from proxy.doctor.finding import Code, Finding, Note
from proxy.doctor.seen import Looked
from proxy.errors import ConnectTimeout, Refused
from proxy.model import Address

NAMED_MOST = 5
BECAUSE = {
    Refused.reason: "nobody listens there: is the port the pods' targetPort, is the app up, does it listen"
    " on 127.0.0.1 only? kubectl get pods -o wide",
    ConnectTimeout.reason: "packets vanish: does a NetworkPolicy let this pod reach them, are the nodes up?",
}
OTHERWISE = "is there a route from here to the pods? kubectl get pods -o wide"


def closed_port(looked: Looked) -> Iterator[Finding]:
    """When most pods refuse the target's port, but accept another."""
    target, listens = looked.settings.target, looked.settings.listen
    accepted = [port for port, reason in looked.ports.items() if not reason]
    refused = [address for address, reason in looked.failed.items() if reason == Refused.reason]
    if not isinstance(target, DnsTarget) or not accepted:
        return
    port = accepted[0]  # those that SRV lists come first
    source = " (SRV lists it)" if port in {srv.port for srv in looked.own.srvs} else ""
    fix = f"{looked.variable('TARGET')}={target.host}:{port}: the port must be the pods' targetPort, not the"
    fix += " Service's port"
    if target.port in {each.port for each in listens}:
        kept = ",".join(map(str, listens))
        fix += f"; {looked.variable('LISTEN')}={kept} keeps where the application connects"
    yield Finding(
        looked.settings.name,
        Code.PORT_CLOSED,
        f"port {target.port} refuses on {len(refused)} of {len(looked.checks)} pods, but port {port}"
        f" accepts{source}",
        fix,
    )


def checks(looked: Looked) -> Iterator[Finding | Note]:
    """Which pods do not accept connections, and why; those that DNS should not list are not meant here."""
    total, known = len(looked.checks), len(looked.endpoints)
    failed = {each: reason for each, reason in looked.failed.items() if each not in stale_pods(looked)}
    of_all = f" (of {known})" if known > total else ""
    if not failed:
        well = total - len(looked.failed)
        yield Note(f"{well} of {total} pods{of_all} accept connections")
        return
    why = "; ".join(_named(failed, reason) for reason in Counter(failed.values()))
    many = 2 * len(failed) >= total
    weight = "" if many else "; Headway sends connections to the others"
    yield Finding(
        looked.settings.name,
        Code.CHECKS_FAIL,
        f"{len(failed)} of {total} pods{of_all} do not accept connections: {why}{weight}",
        "; ".join(f"{reason}: {BECAUSE.get(reason, OTHERWISE)}" for reason in dict.fromkeys(failed.values())),
    )


def health(looked: Looked) -> Iterator[Finding | Note]:
    """Which of the pods that accept fail the check that is set, and what came back."""
    failed = {address: said for address, said in looked.health.items() if said}
    asked, total = _question(looked.settings), len(looked.health)
    if not failed:
        if total:
            yield Note(f"{total} of {total} pods pass the check: {asked}")
        return
    why = "; ".join(_named(failed, said) for said in Counter(failed.values()))
    names = [looked.variable(f"HEALTH_{name}") for name in _QUESTIONS[looked.settings.health_check]]
    yield Finding(
        looked.settings.name,
        Code.UNHEALTHY,
        f"{len(failed)} of {total} pods fail the check: {asked}: {why}",
        f"what is asked, and what is a good answer, is set by {', '.join(names)}; if that is right, the app"
        " is not well: kubectl logs",
    )


_QUESTIONS = {
    HealthCheck.TCP: ("PORT",),
    HealthCheck.HTTP: ("PATH", "PORT", "HOST", "STATUS"),
    HealthCheck.GRPC: ("SERVICE", "PORT", "HOST"),
    HealthCheck.OFF: (),
}


def _question(settings: ServiceSettings) -> str:
    port = f" at port {settings.health_port}" if settings.health_port else ""
    match settings.health_check:
        case HealthCheck.HTTP:
            return f"GET {settings.health_path}{port}"
        case HealthCheck.GRPC:
            return f"grpc.health.v1 of {settings.health_service or 'the server'}{port}"
    return f"a connect{port}"


def _named(failed: dict[Address, str], reason: str) -> str:
    theirs = [str(address) for address, its in failed.items() if its == reason]
    more = f" and {len(theirs) - NAMED_MOST} more" if len(theirs) > NAMED_MOST else ""
    return f"{reason}: {', '.join(theirs[:NAMED_MOST])}{more}"
