"""The work: what each workload sends, which of the measures it shows, and who takes part."""

from dataclasses import dataclass, replace

from loadtest.compare.generator import Load

CLOSED = ("cpu_us", "rate", "p50_us", "p99_us", "p999_us")
BULK = ("cpu_s_gib", "gb_s")
LATENCY = ("p50_us", "p99_us", "p999_us", "max_us")
STREAM = Load("kept", connections=1, path="/bulk")
SMALL_BESIDE_BULK_PER_S = 2000.0
SMALL_BESIDE_STALLS_PER_S = 2000.0
SHARE_OF_FULL = 0.2


@dataclass(frozen=True)
class Workload:
    name: str
    about: str
    load: Load
    shows: tuple[str, ...]
    beside: tuple[Load, ...] = ()  # other loads at the same time
    alone: bool = False  # each measurement has a start of its own, while nobody else runs
    seconds_at_least: float = 0.0
    subjects: frozenset[str] = frozenset()  # none: all

    @property
    def is_upload(self) -> bool:
        return self.load.mode == "upload"


def all_of(open_rate: float, idle: int) -> list[Workload]:
    """In the order of a round. The rate is that of the open loop, the same for everyone."""
    small = Load("kept", 64)
    shown = f"{open_rate:,.0f} requests a second"
    return [
        Workload(
            "idle",
            f"{idle:,} connections, idle after a request each",
            Load("kept", idle),
            ("idle_mib", "kib_each"),
            alone=True,
        ),
        Workload("kept-1", "one kept connection", replace(small, connections=1), CLOSED),
        Workload("kept-64", "64 kept connections", small, CLOSED),
        Workload("kept-512", "512 kept connections", replace(small, connections=512), CLOSED),
        Workload("new", "a new connection for each request, 32 at a time", Load("fresh", 32), CLOSED),
        Workload("download", "4 streams from the pods", replace(STREAM, connections=4), BULK),
        Workload("upload", "4 streams to the pods", Load("upload", 4), BULK),
        Workload(
            "open",
            f"{shown} over 64 kept connections, each sent when it is due: {SHARE_OF_FULL:.0%} of what the "
            "reference does at most",
            Load("open", 64, rate=open_rate),
            ("cpu_us", *LATENCY),
        ),
        Workload(
            "mixed",
            f"{SMALL_BESIDE_BULK_PER_S:,.0f} requests a second over 16 kept connections, while one stream "
            "takes all it can get",
            Load("open", 16, rate=SMALL_BESIDE_BULK_PER_S),
            (*LATENCY, "gb_s"),
            beside=(STREAM,),
        ),
        Workload(
            "stalls",
            f"{SMALL_BESIDE_STALLS_PER_S:,.0f} requests a second over 32 kept connections, while Headway has "
            "1,000 endpoints: DNS brings 250 new ones a second, /metrics is read twice a second. Beside the "
            "others, another Headway has them",
            Load("open", 32, rate=SMALL_BESIDE_STALLS_PER_S),
            LATENCY,
            alone=True,
            seconds_at_least=2.0,  # two answers and four pages
            subjects=frozenset({"direct", "headway-asyncio", "headway-native", "haproxy"}),
        ),
    ]
