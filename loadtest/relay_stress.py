"""Plays with the native relay for as long as you like: `python -m loadtest.relay_stress --minutes 60`.

The driver of the tests (tests/datapath/native/driver.c), with a new seed each time, under each sanitizer
in turn and at full speed. Ends with what it found, and with the seed that repeats it.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from random import SystemRandom
from tempfile import TemporaryDirectory
from time import monotonic

NATIVE = Path(__file__).resolve().parents[1] / "tests/datapath/native"
WAYS = {
    "plain": ["-O2"],
    "address": ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover"],
    "thread": ["-O1", "-g", "-fsanitize=thread"],
}
SESSIONS = 5000


def stress(minutes: float) -> int:
    until = monotonic() + 60 * minutes
    rounds = sessions = 0
    with TemporaryDirectory() as folder:
        for way, flags in WAYS.items():
            subprocess.run([NATIVE / "build", f"{folder}/{way}", *flags], check=True)
        while monotonic() < until:
            way = list(WAYS)[rounds % len(WAYS)]
            seed, threads, spin = SystemRandom().randrange(1 << 30), 1 + rounds % 3, rounds % 2
            command = [f"{folder}/{way}/driver", *map(str, (SESSIONS, seed, threads, spin))]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                print(f"{way}: driver {' '.join(command[1:])}\n{done.stdout}{done.stderr}")
                return 1
            rounds, sessions = rounds + 1, sessions + SESSIONS
            print(f"{sessions} sessions, last by {way}: {done.stdout.rstrip()}", flush=True)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    sys.exit(stress(parser.parse_args().minutes))
