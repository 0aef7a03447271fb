"""The `headway` command: what a person types at a terminal. The container runs `python -m proxy` instead."""

import sys
from typing import Annotated, Any, NoReturn

import typer

from proxy import __version__, config
from proxy.config import PREFIX, Balancer, Listen, parse_listen
from proxy.errors import SettingsError
from proxy.injector.command import injector

FAILED, WRONG_USE = 1, 2
# Help is a string of its own: the image's Python leaves docstrings out (PYTHONOPTIMIZE).
CLASSIC = """A plain container, for clusters before 1.29. Lost then: the application does not wait for the
sidecar, init containers cannot use it, both get the signal to end at the same time, a Job does not end by
itself (POST /quit ends the sidecar), and `kubectl logs` shows the sidecar's unless told otherwise."""
INJECT = """Put the sidecar into Kubernetes manifests: `headway inject -f app.yaml --target orders:8080`.

Pods with an annotation `headway.dev/target: orders:8080` get it; further ones
such as `headway.dev/connect-timeout: 500ms` are settings of their own. With
--target all others get it too, except those with `headway.dev/inject: "false"`.

The rest of the file stays as it is. A second run changes nothing, one with
other options replaces the sidecar. What would not work is left out, with all
reasons, and the exit status is 2."""

commands = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def main() -> NoReturn:
    """Run the command in sys.argv."""
    sys.exit(commands(prog_name="headway"))


def _version(wanted: bool) -> None:
    if wanted:
        print(f"headway {__version__}")
        raise typer.Exit


@commands.callback(
    help="A sidecar that balances an application's connections over the pods of a headless Service."
)
def headway(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    """Options without a command."""


@commands.command(help="Run the proxy, as HEADWAY_* variables tell it to. The same as `python -m proxy`.")
def run() -> None:
    from proxy import app

    raise typer.Exit(app.main())


@commands.command(help="Show the effective settings and where each came from; end with 2 if any is wrong.")
def check() -> None:
    from proxy.datapath import engines
    from proxy.pool import balancer

    try:
        loaded = config.load({"balancer": balancer.problem_with, "relay": engines.problem_with})
    except SettingsError as error:
        raise _end(str(error), WRONG_USE) from None
    widths = [max(len(getattr(row, column)) for row in loaded.rows) for column in ("variable", "value")]
    for row in loaded.rows:
        print(f"{row.variable:{widths[0]}}  {row.value:{widths[1]}}  {row.origin}")
    if said := engines.remark(loaded.settings.relay):
        print(f"headway: {said}", file=sys.stderr)


@commands.command(
    help="Play a headless Service on this machine: a pod crashes, pods leave and join, DNS fails."
)
def demo(
    pods: Annotated[int, typer.Option(help="How many pods there are at first.")] = 6,
    seconds: Annotated[float, typer.Option(help="How long the story takes.")] = 15.0,
    balancer: Annotated[Balancer, typer.Option(help="How pods are chosen.")] = Balancer.P2C,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    from proxy.demo import run as play

    raise typer.Exit(play(pods, seconds, balancer.value, as_json))


@commands.command(
    help="Look at the pod's settings, DNS and pods; say what is wrong, each with its fix, and end with 1"
    " then."
)
def doctor(
    watch: Annotated[
        int,
        typer.Option(min=0, max=3600, metavar="SECONDS", help="How long to watch answers and failing pods."),
    ] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    from proxy import doctor as examination

    try:
        raise typer.Exit(examination.run(as_json=as_json, watch_s=watch))
    except SettingsError as error:
        raise _end(str(error), WRONG_USE) from None


def _admin_address(text: str) -> Listen:
    if text == "off":
        raise typer.BadParameter(f"the admin pages are off; {PREFIX}ADMIN_LISTEN says where they would be")
    return parse_listen(text)


ADMIN = typer.Option(
    parser=_admin_address,
    metavar="ADDRESS",
    envvar=PREFIX + "ADMIN_LISTEN",
    help="Where the sidecar's admin pages are.",
)


@commands.command(help="Show the endpoints of the sidecar that runs here.")
def endpoints(admin: Annotated[Any, ADMIN] = "127.0.0.1:9901") -> None:
    from proxy import show

    try:
        show.endpoints(admin)
    except show.NoAnswer as error:
        raise _end(str(error), FAILED) from None


@commands.command(help="Show why the last connections went where they went.")
def why(
    admin: Annotated[Any, ADMIN] = "127.0.0.1:9901",
    most: Annotated[int, typer.Option("--last", min=1, max=100, help="How many connections.")] = 20,
) -> None:
    from proxy import show

    try:
        show.why(admin, most)
    except show.NoAnswer as error:
        raise _end(str(error), FAILED) from None


TARGET = typer.Option(help="Where the pods are, for all workloads: host:port or srv://…")
FILES = typer.Option("--filename", "-f", metavar="FILE", help="A manifest; - or none is standard input.")
DIFF = typer.Option("--diff", help="Print what would change instead of the result.")
ON_NODE = typer.Option("--allow-host-network", help="The sidecar's ports are free on every node.")


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE, such as CONNECT_TIMEOUT=500ms")
    return name, value


SET = typer.Option(
    "--set", parser=_setting, metavar="NAME=VALUE", help="Any other setting, without HEADWAY_."
)


@commands.command(help=INJECT)
def inject(
    files: Annotated[list[str] | None, FILES] = None,
    target: Annotated[str | None, TARGET] = None,
    settings: Annotated[list[Any] | None, SET] = None,
    image: Annotated[str, typer.Option(help="The sidecar's image.")] = f"headway:{__version__}",
    image_pull_policy: Annotated[str, typer.Option(help="Always, IfNotPresent or Never.")] = "",
    cpu: Annotated[str, typer.Option(help="Requested.")] = "10m",
    memory: Annotated[str, typer.Option(help="Requested.")] = "64Mi",
    memory_limit: Annotated[str, typer.Option(help="What it may take at most.")] = "256Mi",
    classic: Annotated[bool, typer.Option("--classic", help=CLASSIC)] = False,
    allow_host_network: Annotated[bool, ON_NODE] = False,
    diff: Annotated[bool, DIFF] = False,
) -> None:
    from proxy.inject import command

    raise typer.Exit(
        command.inject(
            files or ["-"],
            target=target,
            settings=settings or [],
            container={
                "image": image,
                "pull_policy": image_pull_policy,
                "cpu": cpu,
                "memory": memory,
                "memory_limit": memory_limit,
                "classic": classic,
            },
            host_network_ok=allow_host_network,
            diff=diff,
        )
    )


@commands.command(help="Take out of Kubernetes manifests what `headway inject` put in.")
def uninject(files: Annotated[list[str] | None, FILES] = None, diff: Annotated[bool, DIFF] = False) -> None:
    from proxy.inject import command

    raise typer.Exit(command.uninject(files or ["-"], diff=diff))


commands.command(
    help="Run the admission webhook that adds the sidecar to the pods of namespaces that ask for it."
)(injector)


def _end(message: str, status: int) -> typer.Exit:
    print(f"headway: {message}", file=sys.stderr)
    return typer.Exit(status)
