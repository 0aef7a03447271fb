"""An application: asks localhost, and says which pods answered: PORT TIMES AT_ONCE, or PORT until SIGTERM.

It runs in a container that has nothing of Headway, with whatever Python that has.
"""

import collections
import concurrent.futures
import http.client
import itertools
import json
import signal
import sys
import threading
import time
from types import FrameType

PAUSE_S = 0.02  # of an application that goes on and on


def ask(port: int, number: int) -> str:
    """The pod that answered."""
    connection = http.client.HTTPConnection("localhost", port, timeout=10)
    try:
        connection.request("GET", f"/{number}")
        name, _, path = connection.getresponse().read().decode().split()
        if path != f"/{number}":
            raise ValueError(f"an answer to {path}")
        return str(name)
    finally:
        connection.close()


def main(port: int, times: int | None, at_once: int) -> None:
    ending = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ending.set()

    signal.signal(signal.SIGTERM, end)
    pods: collections.Counter[str] = collections.Counter()
    failed: list[str] = []

    def one(number: int) -> None:
        try:
            pods[ask(port, number)] += 1
        except (OSError, ValueError, http.client.HTTPException) as error:
            failed.append(f"request {number}: {error!r}")

    if times is None:
        for number in itertools.takewhile(lambda _: not ending.is_set(), itertools.count()):
            one(number)
            if not number:
                print("asking", flush=True)
            time.sleep(PAUSE_S)
    else:
        with concurrent.futures.ThreadPoolExecutor(at_once) as threads:
            list(threads.map(one, range(times)))
    print(json.dumps({"pods": pods, "failed": failed}))


if __name__ == "__main__":
    times, at_once = map(int, sys.argv[2:]) if sys.argv[2:] else (None, 1)
    main(int(sys.argv[1]), times, at_once)
