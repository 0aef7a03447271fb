"""`headway doctor`: looks at the real environment of a pod and says what is wrong, each with its fix."""

import logging
from collections.abc import Mapping
from pathlib import Path

import uvloop

from proxy import config
from proxy.clock import SystemClock
from proxy.controlpath.resolv_conf import PATH
from proxy.doctor import report
from proxy.doctor.gather import NAMESPACE, Sources, survey


def run(
    *,
    as_json: bool = False,
    watch_s: float,
    env: Mapping[str, str] | None = None,
    resolv_conf: Path = PATH,
    namespace: Path = NAMESPACE,
) -> int:
    """Look, and print; the exit status: 0 all is well, 1 with findings. Raises SettingsError."""
    env = config.variables() if env is None else env
    settings = config.from_env(env).settings
    logging.getLogger("headway").addHandler(logging.NullHandler())  # failed queries are findings, said once
    place = Sources(env, resolv_conf, namespace).place(settings)
    found = report.Report.of(uvloop.run(survey(settings, place, watch_s, SystemClock())))
    print(report.as_json(found) if as_json else report.as_text(found), end="")
    return 1 if found.findings else 0
