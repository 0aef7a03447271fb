"""Prints what the doctor found: text for people, or one JSON object."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from proxy.doctor import examine
from proxy.doctor.examine import Line
from proxy.doctor.finding import Finding, Note, counted
from proxy.doctor.seen import Looked, Server, Survey
from proxy.policy.records import Reply

WIDTH = 92
FINE, PASSED_OVER, WRONG = "ok", "--", "!!"


class Report(msgspec.Struct, frozen=True):
    """The lines about the pod as a whole, then those of each service."""

    survey: Survey
    around: list[Line]
    services: list[list[Line]]

    @classmethod
    def of(cls, survey: Survey) -> "Report":
        services = [examine.of_service(looked, survey.place) for looked in survey.services]
        return cls(survey, examine.around(survey), services)

    @property
    def findings(self) -> list[Finding]:
        lines = [*self.around, *(line for lines in self.services for line in lines)]
        return [line for line in lines if isinstance(line, Finding)]


# --- for people ---------------------------------------------------------------------------------


def as_text(report: Report) -> str:
    """What is fine in one line each, then what is wrong, each with its fix."""
    return "\n".join(map(_plain, _lines(report))) + "\n"


def _lines(report: Report) -> Iterator[str]:
    survey = report.survey
    if survey.servers:
        conf = survey.place.conf
        search = " ".join(conf.domains) or "none"
        yield from _wrapped("", f"DNS ({survey.place.source}: search {search}; ndots {conf.ndots})")
        yield from _section(report.around)
        yield ""
    for looked, lines in zip(survey.services, report.services, strict=True):
        yield from _wrapped("", f"{looked.settings.name} ({looked.settings.target})")
        yield from _section(lines)
        yield ""
    count = len(report.findings)
    yield f"{counted(count, 'finding')}." if count else "All is well."


def _section(lines: Sequence[Line]) -> Iterator[str]:
    for line in lines:
        if isinstance(line, Note):
            yield from _wrapped(f"  {FINE if line.fine else PASSED_OVER}  ", line.text)
    for line in lines:
        if isinstance(line, Finding):
            yield from _wrapped(f"  {WRONG}  ", f"{line.code}: {line.what}")
            yield from _wrapped("      fix: ", line.fix)


def _wrapped(mark: str, text: str) -> list[str]:
    wrapper = textwrap.TextWrapper(
        WIDTH,
        initial_indent=mark,
        subsequent_indent=" " * len(mark) or "    ",
        break_long_words=False,  # people copy names
        break_on_hyphens=False,
    )
    return wrapper.wrap(text)


def _plain(line: str) -> str:
    """resolv.conf may hold anything, the terminal's own codes too."""
    return line if line.isascii() and line.isprintable() else ascii(line)[1:-1]


# --- for programs -------------------------------------------------------------------------------


def as_json(report: Report) -> str:
    """The findings, and the facts they stand on."""
    return msgspec.json.encode({"findings": report.findings, "facts": _facts(report.survey)}).decode() + "\n"


def _facts(survey: Survey) -> dict[str, Any]:
    place = survey.place
    return {
        "resolv_conf": {"path": place.source, "search": place.conf.domains, "ndots": place.conf.ndots},
        "namespace": place.namespace,
        "cluster_domain": place.domain,
        "watched_s": survey.watched_s,
        "servers": [_server(server) for server in survey.servers],
        "services": [_service(looked) for looked in survey.services],
    }


def _server(server: Server) -> dict[str, Any]:
    return {"address": str(server.address), "tcp": server.tcp or "ok", **_reply(server.reply)}


def _reply(reply: Reply) -> dict[str, Any]:
    seen = reply.exchange
    return {
        "result": reply.result,
        "name": seen.name if seen else "",
        "transport": seen.transport if seen else "",
        "ms": round(seen.seconds * 1000, 1) if seen else 0.0,
        "ttl": reply.ttl,
        "records": seen.total if seen else 0,
    }


def _service(looked: Looked) -> dict[str, Any]:
    return {
        "service": looked.settings.name,
        "target": str(looked.settings.target),
        "found": looked.found,
        "asked": [
            {"qtype": qtype, **_reply(reply)}
            for name in (*looked.tried, *looked.near)
            for qtype, reply in name.replies.items()
        ],
        "endpoints": [str(identity) for identity in looked.endpoints],
        "checks": {str(address): [each or "ok" for each in its] for address, its in looked.checks.items()},
        "health": {str(address): said or "ok" for address, said in looked.health.items()},
        "ports": {str(port): reason or "ok" for port, reason in looked.ports.items()},
        "looks": [
            {
                "at_s": round(glance.at_s, 3),
                "server": str(glance.server),
                "result": glance.reply.result,
                "ttl": glance.reply.ttl,
                "members": len(glance.members),
            }
            for glance in looked.glances
        ],
    }
