"""Names every failure by whose fault it is; `reason` is its label in metrics and logs, from this closed list.

A failure of the pod (source "upstream") counts against the endpoint. One of our own (source "internal",
such as running out of descriptors) never does: ejecting pods for it would make it worse.
"""

import errno
from typing import ClassVar, Literal

Source = Literal["client", "upstream", "internal"]


class HeadwayError(Exception):
    source: ClassVar[Source] = "internal"
    reason: ClassVar[str] = "internal"


# --- a connection that could not be given a pod -------------------------------------------------


class ConnectError(HeadwayError):
    """One attempt to reach one endpoint failed; no byte was sent, so another may be tried.

    `checkable`: whether a TCP check meets the same failure, so that a passed one refutes it.
    """

    source: ClassVar[Source] = "upstream"
    checkable: ClassVar[bool] = True


class Refused(ConnectError):
    reason = "refused"


class ConnectTimeout(ConnectError):
    reason = "timeout"


class Unreachable(ConnectError):
    reason = "unreachable"


class ResetEarly(ConnectError):
    """The pod took the connection and ended it before a byte flowed: a listener that closes does that."""

    reason = "reset_early"
    checkable = False


class SlowConnect(ConnectError):
    """It took the connection, but far later than its peers do: a node or a network in trouble."""

    reason = "slow_connect"
    checkable = False


class DeadlinePassed(ConnectError):
    """CONNECT_DEADLINE cut the attempt short: that proves nothing about the pod."""

    source: ClassVar[Source] = "internal"
    reason = "deadline"


class IdentityChanged(ConnectError):
    """Another pod took over the address while we connected to it: the connection is not given to that one."""

    source: ClassVar[Source] = "internal"
    reason = "identity_changed"


class Unhealthy(ConnectError):
    """Its checks began to fail while we connected to it: they are the ones that count, this says nothing."""

    source: ClassVar[Source] = "internal"
    reason = "unhealthy"


class CheckFailed(ConnectError):
    """The pod took a health check's connection, and its answer is not the one of a well pod."""

    reason = "check_failed"


class OutOfDescriptors(ConnectError):
    source = "internal"
    reason = "out_of_descriptors"


class OutOfPorts(ConnectError):
    source = "internal"
    reason = "out_of_ports"


class NoEndpoint(HeadwayError):
    """No endpoint was known before the deadline, or none is left to try."""

    source = "upstream"
    reason = "no_endpoint"


class AllFull(HeadwayError):
    """All endpoints that may be used have as many connections as they may have."""

    reason = "all_full"


class QueueFull(HeadwayError):
    """So many wait for an endpoint already that one more would only wait in vain."""

    reason = "queue_full"


class NoRoom(HeadwayError):
    """The process had as many connections as it may (MAX_CONNECTIONS) for all of CONNECT_DEADLINE."""

    reason = "no_room"


class CutOff(HeadwayError):
    """The process ended before a pod was chosen."""

    reason = "aborted"


class ClientReset(HeadwayError):
    """The client was gone before a pod was chosen for it."""

    source = "client"
    reason = "client_reset"


class WrongProxyHeader(HeadwayError):
    """PROXY_PROTOCOL_ACCEPT: the client's header is missing or no header, or it may not send one."""

    source = "client"
    reason = "proxy_protocol"


_BY_ERRNO: dict[int, type[ConnectError]] = {
    errno.ECONNREFUSED: Refused,
    errno.ECONNRESET: ResetEarly,
    errno.EPIPE: ResetEarly,
    errno.ETIMEDOUT: ConnectTimeout,
    errno.EMFILE: OutOfDescriptors,
    errno.ENFILE: OutOfDescriptors,
    errno.ENOBUFS: OutOfDescriptors,
    errno.ENOMEM: OutOfDescriptors,
    errno.ENOSPC: OutOfDescriptors,  # epoll_ctl(2): more than fs.epoll.max_user_watches
    errno.EADDRNOTAVAIL: OutOfPorts,
}


def connect_error(cause: OSError) -> ConnectError:
    """The error that `cause`, raised by socket(), connect() or epoll_ctl(), stands for."""
    return _BY_ERRNO.get(cause.errno or 0, Unreachable)(cause.strerror or str(cause))


# --- a process that cannot run ------------------------------------------------------------------


class Fault(HeadwayError):
    """One wrong setting: which variable, which value, and what is allowed."""

    def __init__(self, variable: str, value: str | None, problem: str) -> None:
        self.variable = variable
        self.problem = problem
        if value is not None:
            variable += f"={value if value.isprintable() else repr(value)}"
        super().__init__(f"{variable}: {problem}")


class SettingsError(HeadwayError):
    """Everything that is wrong with the settings, in one go (exit status 2)."""

    def __init__(self, faults: list[Fault]) -> None:
        count = "1 setting is" if len(faults) == 1 else f"{len(faults)} settings are"
        super().__init__("\n".join([f"{count} wrong:", *(f"  {fault}" for fault in faults)]))
        self.faults = faults


class StartError(HeadwayError):
    """The process cannot run here; says what and what to do (exit status 1)."""
