"""The options of `headway injector`."""

import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from proxy import __version__
from proxy.config import LogFormat, LogLevel, parse_listen

if TYPE_CHECKING:
    from proxy.inject.order import Order

API_SERVER = "https://kubernetes.default.svc"
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")  # where Kubernetes mounts it in every pod
# Flags, not HEADWAY_INJECTOR_*: for a Service of the name headway-injector Kubernetes makes up variables that
# begin like that, in every pod of its namespace.


def _defaults(pairs: list[str], container: Mapping[str, Any]) -> "Order":
    from proxy.inject.order import Order, setting_name

    settings = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (name and equals):
            raise typer.BadParameter(f"{pair!r} is not NAME=VALUE", param_hint="--set")
        settings[setting_name(name)] = text
    return Order(settings=settings, **container)


def _address(help_: str) -> Any:
    return typer.Option(parser=parse_listen, metavar="ADDRESS:PORT", help=help_)


Classic = typer.Option(
    "--classic",
    help="Plain containers, for clusters before 1.29: a native sidecar keeps pods from starting there.",
)
Certificates = typer.Option(help="The directory of tls.crt and tls.key, followed when they change.")
SelfSigned = typer.Option("--self-signed", help="Make the certificate, keep it in a Secret, renew it.")
Configuration = typer.Option(help="The MutatingWebhookConfiguration whose caBundle is patched.")
Set = typer.Option("--set", metavar="NAME=VALUE", help="A setting of every sidecar; again for each.")
Drain = typer.Option(min=0, metavar="SECONDS", help="How long it serves on after SIGTERM, unready.")


def injector(
    image: Annotated[str, typer.Option(help="The sidecar's image.")] = f"headway:{__version__}",
    image_pull_policy: Annotated[str, typer.Option(help="Always, IfNotPresent or Never.")] = "",
    cpu: Annotated[str, typer.Option(help="Requested by every sidecar.")] = "10m",
    memory: Annotated[str, typer.Option(help="Requested by every sidecar.")] = "64Mi",
    memory_limit: Annotated[str, typer.Option(help="What each may take at most.")] = "256Mi",
    classic: Annotated[bool, Classic] = False,
    setting: Annotated[list[str] | None, Set] = None,
    listen: Annotated[Any, _address("Where the API server posts reviews, over TLS.")] = ":9443",
    telemetry: Annotated[Any, _address("/livez, /readyz and /metrics.")] = ":9902",
    certificates: Annotated[Path, Certificates] = Path("/etc/headway/certificates"),
    self_signed: Annotated[bool, SelfSigned] = False,
    secret: Annotated[str, typer.Option(help="That Secret.")] = "headway-injector-tls",
    service: Annotated[str, typer.Option(help="The Service that leads here.")] = "headway-injector",
    webhook: Annotated[str, Configuration] = "headway-injector",
    namespace: Annotated[str, typer.Option(envvar="POD_NAMESPACE", help="Where it runs.")] = "headway-system",
    pod: Annotated[str, typer.Option(envvar="POD_NAME", help="Its name, for the log.")] = "",
    api_server: Annotated[str, typer.Option(help="The cluster's API server.")] = API_SERVER,
    service_account: Annotated[Path, typer.Option(help="The directory of its token and ca.crt.")] = ACCOUNT,
    drain: Annotated[float, Drain] = 5.0,
    log_level: Annotated[LogLevel, typer.Option(help="The least that is logged.")] = LogLevel.INFO,
    log_format: Annotated[LogFormat, typer.Option(help="How it is logged.")] = LogFormat.AUTO,
) -> None:
    """Run the webhook until it is told to end. Raises typer.Exit."""
    # PID 1 ignores signals that nobody handles, and it takes a while until the loop does.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit())
    from proxy.injector.api import Place
    from proxy.injector.run import Options, main

    place = Place(api_server, service_account, namespace, secret, service, webhook)
    resources = {"cpu": cpu, "memory": memory, "memory_limit": memory_limit}
    container = {"image": image, "pull_policy": image_pull_policy, "classic": classic, **resources}
    options = Options(
        defaults=_defaults(setting or [], container),
        listen=listen,
        telemetry=telemetry,
        certificates=certificates,
        place=place if self_signed else None,
        drain_s=drain,
        log_level=log_level,
        log_format=log_format,
        pod={name: text for name, text in (("pod", pod), ("namespace", namespace)) if text},
    )
    raise typer.Exit(main(options))
