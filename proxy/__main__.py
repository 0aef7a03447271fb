"""The entry point of the container (`python -m proxy`) and of the `headway` command."""

import sys


def main(arguments: list[str] | None = None) -> int:
    """The exit status. Running the proxy never imports what only a terminal needs."""
    if (sys.argv[1:] if arguments is None else arguments) == ["run"]:
        from proxy import app

        return app.main()
    from proxy import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["run"]))
