"""The entry point of the container (`python -m proxy`) and of the `headway` command."""

import signal
import sys


def main(arguments: list[str] | None = None) -> int:
    """The exit status. Running the proxy never imports what only a terminal needs."""
    if (sys.argv[1:] if arguments is None else arguments) == ["run"]:
        # PID 1 ignores signals that nobody handles, and it takes a while until the loop does.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: sys.exit())
        from proxy import app

        return app.main()
    from proxy import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["run"]))
