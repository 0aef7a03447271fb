"""Opens a new connection for every request, at a bounded rate, and checks every answer to its last byte."""

import asyncio
from collections import Counter, deque
from collections.abc import Mapping
from itertools import count

from proxy.clock import SystemClock
from proxy.demo.pod import body

ANSWER_WITHIN_S = 5.0  # as long as the proxy's own CONNECT_DEADLINE: later than this nobody waits
WINDOW_S = 1.0  # what "now" means in the shares that are shown


class Lost(Exception):
    """A connection that an application would have seen fail; `reason` is one word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Load:
    """A handful of clients. `names` maps each pod's ip to its name and may grow meanwhile."""

    def __init__(
        self,
        address: tuple[str, int],
        names: Mapping[str, str],
        *,
        per_second: float = 300.0,
        answer_within_s: float = ANSWER_WITHIN_S,
    ) -> None:
        self._address = address
        self._names = names
        self._gap_s = 1.0 / per_second
        self._answer_within_s = answer_within_s
        self._clock = SystemClock()
        self._numbers = count(1)
        self._slot = 0.0
        self._running = True
        self._recent: deque[tuple[float, str]] = deque()
        self.per_pod: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.first_seen: dict[str, float] = {}
        self.last_seen: dict[str, float] = {}

    @property
    def failed(self) -> int:
        return self.lost.total()

    @property
    def connections(self) -> int:
        """Every connection that came to its end, good or bad."""
        return self.per_pod.total() + self.failed

    def shares(self) -> dict[str, float]:
        """Each pod's share of the answers of the last second."""
        self._forget(self._clock.now() - WINDOW_S)
        counts = Counter(ip for _, ip in self._recent)
        return {ip: n / len(self._recent) for ip, n in counts.items()}

    async def run(self, workers: int = 8) -> None:
        await asyncio.gather(*(self._work() for _ in range(workers)))

    def stop(self) -> None:
        """Open nothing more; `run` returns when the connections in flight have their answers."""
        self._running = False

    async def connect_once(self) -> None:
        """One connection, one request, one verdict."""
        path = f"/{next(self._numbers)}"
        try:
            async with asyncio.timeout(self._answer_within_s):
                ip = judge(await ask(self._address, path), path, self._names)
        except TimeoutError:
            self.lost["timeout"] += 1
        except Lost as lost:
            self.lost[lost.reason] += 1
        else:
            now = self._clock.now()
            self.per_pod[ip] += 1
            self.first_seen.setdefault(ip, now)
            self.last_seen[ip] = now
            self._recent.append((now, ip))
            self._forget(now - WINDOW_S)

    def _forget(self, before: float) -> None:
        while self._recent and self._recent[0][0] < before:
            self._recent.popleft()

    async def _work(self) -> None:
        while self._running:
            now = self._clock.now()
            due = max(self._slot, now)
            self._slot = due + self._gap_s
            await self._clock.sleep(due - now)
            if self._running:
                await self.connect_once()


async def ask(address: tuple[str, int], path: str) -> bytes:
    """Everything that came back until the end of the connection."""
    answer = b""
    try:
        reader, writer = await asyncio.open_connection(*address)
    except OSError as error:
        raise Lost(_word(error)) from error
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n".encode())
        while chunk := await reader.read(4096):
            answer += chunk
    except OSError as error:
        raise Lost("cut" if answer else _word(error)) from error
    finally:
        writer.close()
    return answer


def judge(answer: bytes, path: str, names: Mapping[str, str]) -> str:
    """The ip of the pod that gave this answer; raises Lost unless it is the whole and right answer."""
    if not answer:
        raise Lost("empty")
    head, _, text = answer.partition(b"\r\n\r\n")
    _, _, length = head.partition(b"Content-Length: ")
    digits = length.split(b"\r\n")[0]
    if not digits.isdigit() or len(text) < int(digits):
        raise Lost("cut")
    words = text.decode(errors="replace").split()
    ip = words[1] if len(words) == 3 else ""
    # The path is a number never used before: an answer meant for another connection is wrong, too.
    if not head.startswith(b"HTTP/1.1 200 ") or text != body(names.get(ip, "?"), ip, path):
        raise Lost("wrong")
    return ip


def _word(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    return "reset" if isinstance(error, ConnectionResetError | BrokenPipeError) else "error"
