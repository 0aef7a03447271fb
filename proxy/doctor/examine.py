"""Decides what is wrong with the pod, from what was seen. Knows no sockets."""

from collections.abc import Iterator

from proxy.config import SrvTarget, StaticTarget
from proxy.doctor import answers, names, pods, servers
from proxy.doctor.finding import Finding, Note
from proxy.doctor.seen import Looked, Place, Survey

Line = Finding | Note


def around(survey: Survey) -> list[Line]:
    """What there is to say of the pod as a whole."""
    return list(servers.each(survey))


def of_service(looked: Looked, place: Place) -> list[Line]:
    """What there is to say of one service."""
    return list(_of_service(looked, place))


def _of_service(looked: Looked, place: Place) -> Iterator[Line]:
    if isinstance(looked.settings.target, StaticTarget):
        yield from pods.checks(looked)
        yield from pods.health(looked)
    elif not looked.tried:
        yield Note("not looked at: no name server answers", fine=False)
    elif looked.found:
        yield from _found(looked, place)
    elif isinstance(looked.settings.target, SrvTarget):
        yield from servers.failing(looked) or names.no_srv(looked, place)
    else:
        yield from servers.failing(looked) or names.not_found(looked, place)


def _found(looked: Looked, place: Place) -> Iterator[Line]:
    yield from servers.failing(looked)
    if not looked.endpoints:
        yield names.without_address(looked)
        return
    yield from names.searched(looked)
    yield from names.headless(looked, place)
    yield from answers.size(looked, place.conf.use_vc)
    yield from answers.age(looked)
    yield from answers.agreement(looked)
    if not names.proof_of_cluster_ip(looked, place):  # else there are no pods to look at
        yield from list(pods.closed_port(looked)) or pods.checks(looked)
        yield from pods.health(looked)
