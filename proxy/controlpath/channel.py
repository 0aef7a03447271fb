"""Sends one query to one name server and hears the reply. The only import of aiodns."""

import asyncio
import os
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

import aiodns
import pycares
from aiodns import error as ares

from proxy.model import Address, AnswerKind, Clock, Exchange
from proxy.policy.records import Record, Reply, Srv, plain, read

RECORDS_SHOWN = 20
NOTHING = pycares.ARES_SOCKET_BAD
FORMERR = 1

# c-ares' errors: the kind of answer, its label in the metrics, and the rcode that it stands for.
_ERRORS = {
    ares.ARES_ENOTFOUND: (AnswerKind.NXDOMAIN, "nxdomain", "NXDOMAIN"),
    ares.ARES_ENODATA: (AnswerKind.EMPTY, "empty", "NOERROR"),
    ares.ARES_ESERVFAIL: (AnswerKind.FAILED, "servfail", "SERVFAIL"),
    ares.ARES_EREFUSED: (AnswerKind.FAILED, "refused", "REFUSED"),
    ares.ARES_ENOTIMP: (AnswerKind.FAILED, "error", "NOTIMP"),
    ares.ARES_EFORMERR: (AnswerKind.FAILED, "error", "FORMERR"),
    ares.ARES_EBADRESP: (AnswerKind.FAILED, "malformed", ""),
    ares.ARES_ETIMEOUT: (AnswerKind.FAILED, "timeout", ""),
    ares.ARES_ECONNREFUSED: (AnswerKind.FAILED, "unreachable", ""),
}
_OTHER = (AnswerKind.FAILED, "error", "")


async def ask(
    server: Address,
    name: str,
    qtype: str,
    clock: Clock,
    *,
    deadline_s: float,
    use_vc: bool = False,
    on_event: Callable[[str], None] = lambda event: None,
) -> Reply:
    """The reply of `server`. Never raises for what DNS may do; waits until it is cancelled.

    A channel of its own for each query: c-ares would answer from its cache (NXDOMAIN too) until the TTL is
    over, shorten timeouts it was told by what it measured, and may lose a callback for ever (1.34.7). A fresh
    one costs 0.3 ms and rules all of that out. A and AAAA leave from different ports, so that the kernel's
    conntrack race (kubernetes#56903) drops neither. `on_event` hears of "ignored", a
    datagram that answers no question, and of "tcp", when that is tried.
    """
    channel = None
    began = clock.now()
    try:
        channel = _Channel(server, deadline_s, use_vc, on_event)
        reply = await channel.ask(name, qtype)
    except (pycares.AresError, UnicodeError) as error:  # no descriptor left; no name that DNS could carry
        nobody = use_vc and error.args[0] == ares.ARES_ECONNREFUSED  # TCP can be refused at once
        reply = Reply(AnswerKind.FAILED, "unreachable" if nobody else "error")
    finally:
        if channel is not None:
            channel.end()
    seen = reply.exchange or Exchange(name, qtype, reply.result)
    seen = seen._replace(server=str(server), seconds=clock.now() - began)
    return reply._replace(exchange=seen)


class _Head:
    """The first bytes of a message, seen before c-ares takes them: pycares shows neither flags nor rcode.

    RFC 1035 4.1.1: two bytes of id, then QR (this is a reply), four bits of opcode, AA, TC (truncated) and RD
    in one byte, and the rcode at the end of the next.
    """

    SIZE = 4
    LENGTH = 2  # RFC 1035 4.2.2: over TCP the message's length comes first
    IN_STREAM = LENGTH + SIZE

    def __init__(self, seen: bytes = b"") -> None:
        self._seen = seen

    @property
    def missing(self) -> int:
        return self.SIZE - len(self._seen)

    @property
    def is_reply(self) -> bool:
        return not self.missing and self._seen[2] & 0xF8 == 0x80

    @property
    def truncated(self) -> bool:
        return not self.missing and bool(self._seen[2] & 0x02)

    @property
    def rcode(self) -> int:
        return self._seen[3] & 0x0F if not self.missing else 0


class _Channel(aiodns.DNSResolver):
    """A resolver for one query to one server, which the running loop drives.

    Left alone, aiodns 4 has c-ares drive itself: two threads and four more descriptors for each channel, one
    of them an inotify instance (128 for all containers of a uid), and twice the time.
    """

    def __init__(
        self, server: Address, deadline_s: float, use_vc: bool, on_event: Callable[[str], None]
    ) -> None:
        self._socks: dict[int, socket.socket] = {}  # to look at c-ares' descriptors, which stay its own
        self._wanted: dict[int, tuple[bool, bool]] = {}  # what c-ares waits for: to read, to write
        self._parsing: asyncio.Future[None] | None = None
        self._answered = False
        self._ending = False
        self._transport = ""
        self._head_due = False  # whether the next bytes over TCP are a message's first
        self._head = _Head()
        self._on_event = on_event
        flags = pycares.ARES_FLAG_EDNS | (pycares.ARES_FLAG_USEVC if use_vc else 0)
        options = {"tries": 1, "flags": flags, "resolvconf_path": os.devnull}
        super().__init__([_as_csv(server)], timeout=deadline_s, **options)

    def _make_channel(self, **options: Any) -> tuple[bool, pycares.Channel]:
        return False, pycares.Channel(sock_state_cb=self._sock_state_cb, timeout=self._timeout, **options)

    async def ask(self, name: str, qtype: str) -> Reply:
        done: asyncio.Future[Reply] = self.loop.create_future()

        def answered(result: pycares.DNSResult | None, code: int | None) -> None:
            self._answered = True
            reply = self._reply(name, qtype, result, code)  # in whatever thread has read it
            if self._parsing is None:
                _settle(done, reply)
            else:
                self.loop.call_soon_threadsafe(_settle, done, reply)

        self._give_up = partial(answered, None, ares.ARES_ECONNREFUSED)
        self._channel.query(name, aiodns.query_type_map[qtype], callback=answered)
        return await done

    def end(self) -> None:
        """Close it, now or when its thread is out: c-ares frees what the thread uses."""
        self._ending = True
        if self._parsing is not None or self._closed:
            return
        self._channel.cancel()
        self._cleanup()
        del self._channel, self._give_up  # they hold this object: an answered query leaves no cycle behind

    def _reply(self, name: str, qtype: str, result: pycares.DNSResult | None, code: int | None) -> Reply:
        truncated = self._transport == "tcp" and self._head.truncated
        kind, label, rcode = _ERRORS.get(code, _OTHER) if code is not None else _OTHER
        reply = Reply(kind, label)
        if kind is AnswerKind.EMPTY and truncated:  # what was cut off may be all that matters
            reply = Reply(AnswerKind.FAILED, "truncated", truncated=True)
        if code is None and result is not None and result.answer and not self._head.rcode:
            # c-ares has errors for "no records" and for the usual failures. An unusual one, such as NOTAUTH,
            # it passes on like a success.
            answer = [_record(raw) for raw in result.answer]
            reply = read(name, qtype, answer, [_record(raw) for raw in result.additional], truncated)
            rcode = "NOERROR"
        records = reply.ips or reply.srvs
        shown = tuple(map(str, records[:RECORDS_SHOWN]))
        seen = Exchange(name, qtype, reply.result, transport=self._transport, rcode=rcode, ttl=reply.ttl)
        return reply._replace(exchange=seen._replace(records=shown, total=len(records), truncated=truncated))

    # --- c-ares' sockets ------------------------------------------------------------------------

    def _sock_state_cb(self, fd: int, readable: bool, writable: bool) -> None:
        if readable or writable:
            self._wanted[fd] = readable, writable
            if fd not in self._socks:
                self._meet(fd)
        else:
            self._wanted.pop(fd, None)
            if fd in self._socks:
                self._socks.pop(fd).detach()
        if self._parsing is None:  # else this is its thread, and the loop catches up afterwards
            self._watch(fd)

    def _meet(self, fd: int) -> None:
        sock = self._socks[fd] = socket.socket(fileno=fd)
        if sock.type is socket.SOCK_STREAM:
            self._await_head(sock)
            self._on_event("tcp")
        self._transport = "tcp" if sock.type is socket.SOCK_STREAM else "udp"

    def _await_head(self, sock: socket.socket) -> None:
        """Not readable before the whole head is there: c-ares takes what it finds, a later look fails."""
        self._head_due = True
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, _Head.IN_STREAM)

    def _watch(self, fd: int) -> None:
        """Have the loop wait for what c-ares waits for."""
        read, write = self._wanted.get(fd, (False, False))
        if read != (fd in self._read_fds):
            self._read_fds ^= {fd}
            self.loop.add_reader(fd, self._readable, fd) if read else self.loop.remove_reader(fd)
        if write != (fd in self._write_fds):
            self._write_fds ^= {fd}
            self.loop.add_writer(fd, self._writable, fd) if write else self.loop.remove_writer(fd)

    def _writable(self, fd: int) -> None:
        self._channel.process_fd(NOTHING, fd)

    def _readable(self, fd: int) -> None:
        sock = self._socks[fd]
        try:
            if sock.type is socket.SOCK_STREAM:
                self._read_stream(fd, sock)
            else:
                self._read_datagram(fd, sock)
        except BlockingIOError:
            pass
        except OSError:  # c-ares will not meet it any more
            self._stop()

    def _stop(self) -> None:
        """End the query: there is nothing more to come."""
        watched, self._wanted = self._wanted, {}
        for fd in watched:
            self._watch(fd)
        self._give_up()

    def _read_datagram(self, fd: int, sock: socket.socket) -> None:
        self._head = _Head(sock.recv(_Head.SIZE, socket.MSG_PEEK))
        if not self._head.is_reply:  # an echo, or noise: c-ares would take it for the server's answer
            sock.recv(1)
            self._on_event("ignored")
            return
        open_before = self._socks.keys() | set()
        self._channel.process_fd(fd, NOTHING)
        # c-ares passes over a wrong id, question or sender without a word. It goes to TCP when told to, and
        # asks again without EDNS where that is not understood (FORMERR).
        waits_on = not self._answered and self._socks.keys() == open_before
        if waits_on and self._head.rcode != FORMERR:
            self._on_event("ignored")

    def _read_stream(self, fd: int, sock: socket.socket) -> None:
        """Let a thread read what TCP brings: pycares takes 6 ms for a thousand records."""
        seen = sock.recv(_Head.IN_STREAM, socket.MSG_PEEK)
        if not seen:  # c-ares would wait on for the rest of a reply, and the loop would spin
            self._stop()
            return
        if self._head_due:
            self._head_due = False
            self._head = _Head(seen[_Head.LENGTH :])
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        watched, self._wanted = self._wanted, {}
        self._watch(fd)
        self._wanted = watched
        self._parsing = self.loop.run_in_executor(None, self._channel.process_fd, fd, NOTHING)
        self._parsing.add_done_callback(self._parsed)

    def _parsed(self, parsing: asyncio.Future[None]) -> None:
        self._parsing = None
        if self._ending:
            self.end()
            return
        if not self._answered and self._head.rcode == FORMERR:  # asked again without EDNS, on this connection
            for sock in self._socks.values():
                self._await_head(sock)
        for fd in self._wanted:
            self._watch(fd)


def _settle(done: asyncio.Future[Reply], reply: Reply) -> None:
    if not done.done():
        done.set_result(reply)


def _as_csv(server: Address) -> str:
    """As c-ares writes it: the zone of a link-local address comes last."""
    ip, _, zone = server.ip.partition("%")
    return f"{Address(ip, server.port)}%{zone}" if zone else str(server)


_TYPES = {number: name for name, number in aiodns.query_type_map.items()}


def _record(raw: pycares.DNSRecord) -> Record:
    data = raw.data
    if isinstance(data, pycares.SRVRecordData):
        value: str | Srv = Srv(data.priority, data.weight, data.port, plain(data.target))
    elif isinstance(data, pycares.CNAMERecordData):
        value = plain(data.cname)
    else:
        value = getattr(data, "addr", "")
    of_internet = raw.record_class == pycares.QUERY_CLASS_IN
    return Record(plain(raw.name), _TYPES.get(raw.type, "") if of_internet else "", raw.ttl, value)
