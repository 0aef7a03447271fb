"""Sessions that notice one wrong byte: what each side will say is known before, and how it ended is kept.

The client says which session it is, so pods serve them here as well: `Traffic.serve` is what a good pod does.
"""

import asyncio
import socket
from collections import Counter
from contextlib import suppress
from random import Random
from time import monotonic
from typing import Literal, NamedTuple

from tests.datapath.peers import Peer
from tests.faults.pods import narrow

End = Literal["finish", "close", "reset", "lost"]
Verdict = Literal["complete", "cut", "wrong", "truncated", "broken", "unserved", "stuck"]
FAULTS: tuple[Verdict, ...] = ("wrong", "truncated", "broken", "unserved", "stuck")

GREETING = b"!"  # before it a pod may fail and the client must not notice
NUMBER = 4  # bytes: the number of its session, the first that a client says
CHUNK = 1 << 18
STUCK_S = 20.0
FITS = 100_000  # bytes that the kernel's buffers hold on the way, so that nobody has to read them meanwhile
NOISE = memoryview(Random(1).randbytes(1 << 20))


class Part(NamedTuple):
    """What one side does: says `size` bytes, at once or when it has heard all, and ends its way."""

    size: int
    waits: bool
    end: End


class Side:
    """What one side did and saw."""

    def __init__(self, part: Part, says: bytes | memoryview) -> None:
        self.part = part
        self.says = memoryview(says)
        self.end: End | None = None  # how it has ended, set before the kernel can know
        self.said = self.heard = 0  # bytes before it plays its part
        self.is_right = True
        self.heard_end: Literal["fin", "reset", ""] = ""


class Session:
    """Both sides of it."""

    def __init__(self, number: int, client: Part, pod: Part) -> None:
        self.client = Side(client, number.to_bytes(NUMBER) + _noise(2 * number, client.size))
        self.pod = Side(pod, _noise(2 * number + 1, pod.size))
        self.begun = asyncio.Event()  # in the pod's eyes: it knows which session it is
        self.over = asyncio.Event()

    def verdict(self) -> Verdict:
        verdicts = (_verdict(self.client, self.pod), _verdict(self.pod, self.client))
        return max(verdicts, key=("complete", "cut", "broken", "truncated", "wrong").index)


def _noise(seed: int, size: int) -> bytes:
    start = seed * 7919 % (len(NOISE) - size)
    return bytes(NOISE[start : start + size])


def _verdict(side: Side, other: Side) -> Verdict:
    """A FIN says that all is there; a reset happens only where somebody gave up."""
    if not side.is_right:
        return "wrong"
    if side.heard_end == "fin":
        is_whole = other.end in ("finish", "close") and side.heard == len(other.says)
        return "complete" if is_whole else "truncated"
    if side.heard_end == "reset":
        return "broken" if other.end in ("finish", None) else "cut"
    return "cut"  # it did not stay to listen


class Traffic:
    """Random sessions through one address; the same seed plans the same ones."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._sessions: dict[int, Session] = {}
        self._next = 0
        self.verdicts: Counter[Verdict] = Counter()
        self.first_faults: list[str] = []

    @property
    def faults(self) -> dict[Verdict, int]:
        return {each: self.verdicts[each] for each in FAULTS if self.verdicts[each]}

    async def play(self, address: tuple[str, int], sessions: int, at_once: int = 40) -> None:
        """So many sessions, one after the other in each of `at_once` rows."""
        left = iter(range(sessions))

        async def row() -> None:
            for _ in left:
                await self.one(address)

        await asyncio.gather(*(row() for _ in range(at_once)))

    async def one(self, address: tuple[str, int]) -> Verdict:
        number, self._next = self._next, self._next + 1
        session = self._sessions[number] = Session(number, *self._parts())
        verdict: Verdict = "unserved"
        peer = call(address)
        try:
            async with asyncio.timeout(STUCK_S):
                if await peer.receive(1) == GREETING:
                    await _begin(peer, session)
                    await _play(peer, session.client, session.pod)
                    await session.over.wait()
                    verdict = session.verdict()
        except OSError as error:  # it was reset before a pod had greeted, or a TimeoutError
            verdict = "stuck" if isinstance(error, TimeoutError) else "unserved"
        finally:
            peer.close()
            del self._sessions[number]
        self.verdicts[verdict] += 1
        if verdict in FAULTS and len(self.first_faults) < 5:
            sides = [{**vars(side), "says": len(side.says)} for side in (session.client, session.pod)]
            self.first_faults.append(f"session {number}: {verdict}, client and pod: {sides}")
        return verdict

    async def serve(self, peer: Peer) -> None:
        """What a good pod does with a connection."""
        session = None
        try:
            await peer.send(GREETING)
            number = await peer.receive(NUMBER)
            if len(number) == NUMBER and (session := self._sessions.get(int.from_bytes(number))):
                session.pod.heard = NUMBER
                session.begun.set()
                await _play(peer, session.pod, session.client)
        except OSError:
            pass  # a client that was reset before it had said who it is; or a check
        finally:
            peer.close()
            if session is not None:
                session.over.set()

    def _parts(self) -> tuple[Part, Part]:
        client, pod = self._part(), self._part()
        if client.waits and pod.waits:
            client = client._replace(waits=False)
        return client, pod

    def _part(self) -> Part:
        rng = self._rng
        most = rng.choices((2_000, 32_000, 400_000), (85, 13, 2))[0]
        end: End = rng.choices(("finish", "close", "reset"), (80, 10, 10))[0]
        return Part(rng.randrange(most), rng.random() < 0.3, end)


def call(address: tuple[str, int], buffer: int = 0) -> Peer:
    """A connection to it: on loopback the kernel is done with that at once. `buffer` bounds its window."""
    sock = socket.socket()
    if buffer:
        narrow(sock, buffer)
    sock.setblocking(False)
    sock.connect_ex(address)
    return Peer(sock)


async def play_for(seconds: float, traffic: Traffic, address: tuple[str, int], clients: int = 8) -> None:
    """So many clients, each with one session after the other."""
    until = monotonic() + seconds

    async def client() -> None:
        while monotonic() < until:
            await traffic.one(address)

    await asyncio.gather(*(client() for _ in range(clients)))


async def _begin(peer: Peer, session: Session) -> None:
    """Whoever leaves early, or listens first, says who it is, or the pod would never know."""
    if session.client.part.waits or session.client.part.end != "finish":
        await peer.send(session.client.says[:NUMBER])
        await session.begun.wait()
        session.client.said = NUMBER


async def _play(peer: Peer, mine: Side, other: Side) -> None:
    """One side's part in it."""
    beside = None
    if mine.part.waits:
        await _listen(peer, mine, other)
    elif len(mine.says) > FITS:
        beside = asyncio.create_task(_listen(peer, mine, other))
    await _speak(peer, mine)
    if beside is not None and mine.end != "finish":
        beside.cancel()
        await asyncio.wait([beside])
    _end(peer, mine)
    if mine.end == "finish" and not mine.part.waits:
        await (beside or _listen(peer, mine, other))


async def _speak(peer: Peer, mine: Side) -> None:
    try:
        await peer.send(mine.says[mine.said :])
    except OSError:
        mine.end, mine.heard_end = "lost", "reset"
    else:
        mine.end = mine.part.end


def _end(peer: Peer, mine: Side) -> None:
    ways = {"finish": peer.finish, "close": peer.close, "reset": peer.reset, "lost": peer.close}
    with suppress(OSError):  # it is gone already
        ways[mine.end or "lost"]()


async def _listen(peer: Peer, mine: Side, other: Side) -> None:
    """All until the other's end."""
    loop = asyncio.get_running_loop()
    try:
        while data := await loop.sock_recv(peer.sock, CHUNK):
            mine.is_right &= data == other.says[mine.heard : mine.heard + len(data)]
            mine.heard += len(data)
    except OSError:
        mine.heard_end = "reset"
    else:
        mine.heard_end = mine.heard_end or "fin"
