"""`python -m tests.containers.prepare`: makes what the container tests take longest to make, ahead of them.

The images stay with the engine; what cannot be made here is told by the tests.
"""

import signal
import sys

from pytest import fail, skip

from tests.containers import images
from tests.containers.engine import engine


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # an engine that was started for this ends with it
    try:
        with engine() as client:
            base = images.base(client)
            tools = images.tools(client, base)
            images.ahead(client, images.without_shell(client, base), tools)
    except (skip.Exception, fail.Exception) as why:
        print(f"no images for the container tests yet: {why}")


if __name__ == "__main__":
    main()
