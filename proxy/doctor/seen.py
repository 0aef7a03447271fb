"""What the doctor has seen, as frozen values: all that findings are made from."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from proxy.config import PREFIX, ServiceSettings, SrvTarget
from proxy.model import Address, AnswerKind, Identity
from proxy.policy.records import Reply
from proxy.policy.resolv_conf import ResolvConf

SILENT = frozenset({"timeout", "unreachable"})  # results of queries that nobody answered
NOTHING_SAID = Reply(AnswerKind.EMPTY, "empty")


class Place(msgspec.Struct, frozen=True):
    """What surrounds the pod; `domain` is the cluster's, `hosts` are the variables that Services leave."""

    conf: ResolvConf
    source: str = "/etc/resolv.conf"
    namespace: str = ""
    domain: str = ""
    hosts: Mapping[str, str] = {}


class Server(msgspec.Struct, frozen=True):
    """One name server, asked by itself; `tcp` is why it takes no TCP connection, if it does not."""

    address: Address
    reply: Reply
    tcp: str = ""

    @property
    def answers(self) -> bool:
        return self.reply.kind is not AnswerKind.FAILED


class Name(NamedTuple):
    """A full name, and what was said of it by query type."""

    name: str
    replies: Mapping[str, Reply]

    @property
    def has_records(self) -> bool:
        return any(reply.kind is AnswerKind.ENDPOINTS for reply in self.replies.values())


class Glance(NamedTuple):
    """What one server said of the name found, in one of the looks."""

    look: int
    at_s: float
    server: Address
    reply: Reply

    @property
    def members(self) -> frozenset[object]:
        return frozenset(self.reply.ips) | frozenset((srv.target, srv.port) for srv in self.reply.srvs)


class Looked(msgspec.Struct, frozen=True):
    """All that was seen of one service; what could not be looked at is empty.

    `tried` are the names that the target may stand for, up to the one `found`; `near` similar ones, asked
    when none was; `own` is the SRV reply for the Service's name without a port. `checks` has for each address
    why each connect failed, in order ("": it was accepted); `ports` the same for other ports of those pods;
    `health` what was wrong with the answer to the check of HEALTH_CHECK, where that asks more than a connect.
    """

    settings: ServiceSettings
    servers: tuple[Server, ...] = ()
    tried: tuple[Name, ...] = ()
    found: str = ""
    near: tuple[Name, ...] = ()
    own: Reply = NOTHING_SAID
    glances: tuple[Glance, ...] = ()
    endpoints: tuple[Identity, ...] = ()
    checks: Mapping[Address, tuple[str, ...]] = {}
    ports: Mapping[int, str] = {}
    health: Mapping[Address, str] = {}

    @property
    def replies(self) -> Mapping[str, Reply]:
        """What was said of the name found."""
        return self.tried[-1].replies if self.found else {}

    @property
    def service_name(self) -> str:
        """The full name of the Service itself: without a port's name."""
        return without_port(self.found) if isinstance(self.settings.target, SrvTarget) else self.found

    @property
    def failed(self) -> dict[Address, str]:
        """The addresses that refused their first check, with the reason."""
        return {address: reasons[0] for address, reasons in self.checks.items() if reasons[0]}

    def variable(self, field: str) -> str:
        return f"{PREFIX}{self.settings.prefix}{field}"


class Survey(msgspec.Struct, frozen=True):
    """The pod as a whole."""

    place: Place
    servers: tuple[Server, ...]
    services: tuple[Looked, ...]
    watched_s: float = 0.0


def without_port(name: str) -> str:
    """`_http._tcp.web.demo.` is a port of `web.demo.`"""
    return name.split(".", 2)[2]
