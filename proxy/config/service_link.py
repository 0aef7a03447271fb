"""Knows the variables that Kubernetes sets in every pod for a Service called headway or headway-something."""

import re

SERVICE_LINK = re.compile(
    r"HEADWAY_(\w+_)?("
    r"SERVICE_HOST=[\da-f.:]+|SERVICE_PORT(_\w+)?=\d+|PORT(_\d+_(TCP|UDP|SCTP))?=(tcp|udp|sctp)://\S+|"
    r"PORT_\d+_(TCP|UDP|SCTP)_(PROTO=(tcp|udp|sctp)|PORT=\d+|ADDR=[\da-f.:]+))"
)


def is_service_link(name: str, value: str) -> bool:
    return SERVICE_LINK.fullmatch(f"{name}={value}") is not None
