"""The demo's output: what a program parses and what a person reads at the end."""

import asyncio
import json
from math import inf, nan

import pytest

import proxy.demo
from proxy.demo.child import Child
from proxy.demo.cluster import Cluster, Pod
from proxy.demo.dns import DnsServer
from proxy.demo.load import Load
from proxy.demo.show import Json, summary
from proxy.demo.story import Event

END = [Event(15.0, "end", "the story ends")]


def played() -> tuple[Cluster, Load]:
    """Two pods, one of which never answered, after 7 answers."""
    cluster = Cluster(DnsServer(), 2)
    for name, ip in (("web-0", "127.0.0.11"), ("web-1", "127.0.0.12")):
        cluster.pods[ip] = Pod(name, ip, Child.__new__(Child), "serving")
    load = Load(("127.0.0.1", 1), cluster.names)
    load.per_pod["127.0.0.11"] = 7
    return cluster, load


def test_json_is_one_object_with_every_pod(capsys: pytest.CaptureFixture[str]) -> None:
    """A script gets exactly one object, in which a pod without a single answer is there as 0."""
    cluster, load = played()
    load.lost["reset"] = 1
    show = Json()
    show.event(END[0])
    show.frame(cluster, load, 1.0)
    show.end(cluster, load, END)

    assert json.loads(capsys.readouterr().out) == {
        "connections": 8,
        "failed": 1,
        "pods": {"127.0.0.11": 7, "127.0.0.12": 0},
        "events": [{"at_s": 15.0, "event": "end", "text": "the story ends"}],
    }


def test_the_summary_never_hides_a_loss() -> None:
    """One lost connection turns the verdict, and says how it was lost."""
    cluster, load = played()

    assert "7 connections, 0 failed.  A crash" in summary(cluster, load, END)
    assert "noticed nothing" in summary(cluster, load, END)
    assert "Stopped before the end" in summary(cluster, load, [Event(0.0, "steady", "load starts")])

    load.lost["cut"] = 2

    assert "9 connections, 2 failed.  LOST: 2 cut." in summary(cluster, load, END)
    assert "noticed nothing" not in summary(cluster, load, END)


@pytest.mark.parametrize("pods,seconds", [(2, 15.0), (101, 15.0), (6, 2.9), (6, nan), (6, inf)])
def test_impossible_wishes_are_refused(pods: int, seconds: float, capsys: pytest.CaptureFixture[str]) -> None:
    """A story that cannot be told is refused before anything starts, with what would be possible."""
    assert proxy.demo.run(pods, seconds) == 2
    assert "3 to 100 pods and 3 to 3600 seconds" in capsys.readouterr().err


def test_the_dns_server_alone_is_light() -> None:
    """A test that wants only the DNS server does not load a terminal library."""

    async def test() -> list[str]:
        code = "import sys, proxy.demo.dns, proxy.demo.pod; print({'rich', 'aiohttp'} & set(sys.modules))"
        child = await Child.start("import", "-c", code)
        await child.wait()
        return list(child.tail)

    assert asyncio.run(test()) == ["set()"]
