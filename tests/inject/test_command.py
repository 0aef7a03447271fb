"""`headway inject` and `headway uninject` as users type them: files, streams, options, exit statuses."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy import __version__
from tests.inject.conftest import Ended, Headway

POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  annotations:
    {annotation}
spec:
  containers:
    - name: app
      image: app:1
      ports: [{{containerPort: 8081}}]
"""
PLAIN = POD.format(name="plain", annotation="team: x")
ASKS = POD.format(name="asks", annotation="headway.dev/target: users:9090")
DECLINES = POD.format(name="declines", annotation='headway.dev/inject: "false"')
CLASHES = POD.format(name="clashes", annotation="headway.dev/target: users:8081")


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A file with all four."""
    path = tmp_path / "app.yaml"
    path.write_text("---\n".join([PLAIN, ASKS, DECLINES, CLASHES]))
    return path


def pods(ended: Ended) -> dict[str, list[str]]:
    """The containers of each pod in a stream, init containers first."""
    return {
        pod["metadata"]["name"]: [
            each["name"] for key in ("initContainers", "containers") for each in pod["spec"].get(key, [])
        ]
        for pod in yaml.safe_load_all(ended.out)
    }


def sidecar(ended: Ended) -> dict[str, Any]:
    (document,) = yaml.safe_load_all(ended.out)
    (found,) = [
        each
        for key in ("initContainers", "containers")
        for each in document["spec"].get(key, [])
        if each["name"] == "headway"
    ]
    return dict(found)


def env(ended: Ended) -> dict[str, str]:
    return {each["name"]: each["value"] for each in sidecar(ended)["env"] if "value" in each}


def test_only_those_that_ask(headway: Headway, app: Path) -> None:
    """Without --target the annotations decide; what would not work is left out, the rest is complete."""
    ended = headway("inject", "-f", app)

    assert pods(ended) == {"plain": ["app"], "asks": ["headway", "app"], "declines": ["app"]}
    assert ended.out.startswith(PLAIN)
    assert ended.status == 2
    assert ended.err == (
        "headway: left out, because it would not work:\n"
        f"  {app}, document 4 (line 37), Pod clashes:\n"
        "    container app declares port 8081, where the sidecar listens as well:"
        " set HEADWAY_LISTEN, which is 127.0.0.1:8081, to another port\n"
    )


def test_all_that_do_not_decline(headway: Headway, app: Path) -> None:
    """With --target those without annotations get that one."""
    ended = headway("inject", "-f", app, "--target", "orders:8080")
    targets = {
        document["metadata"]["name"]: document["spec"]["initContainers"][0]["env"][0]["value"]
        for document in yaml.safe_load_all(ended.out)
        if "initContainers" in document["spec"]
    }

    assert targets == {"plain": "orders:8080", "asks": "users:9090"}


def test_by_way_of_a_pipe(headway: Headway) -> None:
    """Standard input and output, by `-` or without a word; the second run and the way back change no byte."""
    once = headway("inject", "--target", "orders:8080", stdin=PLAIN)
    again = headway("inject", "-f", "-", "--target", "orders:8080", stdin=once.out)
    back = headway("uninject", "-f", "-", stdin=once.out)

    assert (once.status, once.err) == (0, "")
    assert once.out != PLAIN
    assert again == once
    assert back == Ended(0, PLAIN, "")


def test_several_files(headway: Headway, tmp_path: Path) -> None:
    """They become one stream, with what has to stand between them."""
    one, two, three = (tmp_path / name for name in ("1.yaml", "2.yaml", "3.yaml"))
    one.write_text(PLAIN.rstrip())
    two.write_text("---\n" + ASKS)
    three.write_text("\ufeff" + DECLINES)
    ended = headway("inject", "-f", one, "-f", two, "--filename", three)

    assert pods(ended) == {"plain": ["app"], "asks": ["headway", "app"], "declines": ["app"]}
    assert ended.out.count("---\n") == 2
    assert headway("uninject", "-f", one, "-f", two, "-f", three).out == "---\n".join([PLAIN, ASKS, DECLINES])


def test_line_ends(headway: Headway) -> None:
    """Those of Windows get through both ways."""
    text = PLAIN.replace("\n", "\r\n")
    ended = headway("inject", "--target", "orders:8080", stdin=text)

    assert ended.out.count("\r\n") == ended.out.count("\n")
    assert headway("uninject", stdin=ended.out).out == text


def test_diff(headway: Headway, app: Path) -> None:
    """Only what would change is printed, for people; what is refused does not look deleted."""
    ended = headway("inject", "-f", app, "--diff")
    head, lines = ended.out.splitlines()[:2], ended.out.splitlines()[2:]

    assert head == [f"--- {app}", f"+++ {app} (changed)"]
    assert [line for line in lines if line.startswith("-")] == []
    assert [line for line in lines if line.startswith("+")][:3] == [
        f"+    headway.dev/injected: {__version__}",
        "+  initContainers:",
        "+    - name: headway",
    ]
    assert ended.status == 2

    injected = headway("inject", stdin=ASKS).out
    assert headway("inject", "--diff", stdin=injected) == Ended(0, "", "")
    back = headway("uninject", "--diff", stdin=injected)
    assert [line for line in back.out.splitlines()[2:] if line.startswith("+")] == []
    assert "-    - name: headway" in back.out.splitlines()


def test_options(headway: Headway) -> None:
    """Each option reaches the container."""
    ended = headway(
        "inject",
        *("--target", "orders:8080", "--set", "CONNECT_TIMEOUT=500ms", "--set", "HEADWAY_ACCESS_LOG=off"),
        *("--image", "mirror/headway:9", "--image-pull-policy", "Always"),
        *("--cpu", "20m", "--memory", "32Mi", "--memory-limit", "128Mi"),
        stdin=PLAIN,
    )

    assert env(ended) == {
        "HEADWAY_TARGET": "orders:8080",
        "HEADWAY_CONNECT_TIMEOUT": "500ms",
        "HEADWAY_ACCESS_LOG": "off",
    }
    assert sidecar(ended)["image"] == "mirror/headway:9"
    assert sidecar(ended)["imagePullPolicy"] == "Always"
    assert sidecar(ended)["resources"] == {
        "requests": {"cpu": "20m", "memory": "32Mi"},
        "limits": {"memory": "128Mi"},
    }


def test_several_services(headway: Headway) -> None:
    """They are settings like any other; a value may hold commas and equal signs."""
    settings = ["SERVICES=a,b", "A_TARGET=a:1080", "B_TARGET=b:1081", "POD_NAME=x=y"]
    ended = headway("inject", *(word for each in settings for word in ("--set", each)), stdin=PLAIN)

    assert env(ended) == {f"HEADWAY_{name}": text for name, _, text in (s.partition("=") for s in settings)}


def test_classic(headway: Headway) -> None:
    """A plain container; for a pod that should end, with a word about that."""
    ended = headway("inject", "--classic", "--target", "orders:8080", stdin=PLAIN)
    assert (ended.status, ended.err) == (0, "")
    assert "restartPolicy" not in sidecar(ended)
    assert pods(ended) == {"plain": ["headway", "app"]}

    once = PLAIN.replace("spec:\n", "spec:\n  restartPolicy: Never\n")
    ended = headway("inject", "--classic", "--target", "orders:8080", stdin=once)
    assert ended.status == 0
    assert ended.err.startswith(
        "headway: note: standard input, document 1 (line 1), Pod plain: as a plain container it does not end"
    )


def test_host_network(headway: Headway) -> None:
    """It takes an option, because the ports are the node's."""
    text = PLAIN.replace("spec:\n", "spec:\n  hostNetwork: true\n")

    refused = headway("inject", "--target", "orders:8080", stdin=text)
    assert (refused.status, refused.out) == (2, "")
    assert "--allow-host-network" in refused.err
    assert headway("inject", "--target", "orders:8080", "--allow-host-network", stdin=text).status == 0


def test_nobody_asks(headway: Headway) -> None:
    """Nothing happens, and that is said; so it is when the annotation is on the wrong object."""
    ended = headway("inject", stdin=DECLINES)
    assert (ended.status, ended.out) == (0, DECLINES)
    assert ended.err.startswith("headway: note: no pod asks for a sidecar")
    assert headway("uninject", stdin=ASKS).err.startswith("headway: note: no pod has a sidecar")

    deployment = (
        "apiVersion: apps/v1\nkind: Deployment\n"
        "metadata: {name: web, namespace: shop, annotations: {headway.dev/target: 'a:80'}}\n"
        "spec: {template: {spec: {containers: [{name: app}]}}}\n"
    )
    ended = headway("inject", stdin=deployment)
    assert (ended.status, ended.out) == (0, deployment)
    assert "Deployment shop/web: headway.dev/target would count in the annotations of the pod" in ended.err


def test_a_kind_that_is_not_known(headway: Headway) -> None:
    """It stays as it is, and what can be done is said: instead of that nobody asks, and without a failure."""
    rollout = (
        "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: web, namespace: shop}\n"
        "spec: {template: {metadata: {annotations: {headway.dev/target: 'a:80'}}, spec: {containers: []}}}\n"
    )
    where = (
        "headway: note: standard input, document 1 (line 1), argoproj.io/v1alpha1 Rollout shop/web: stays as"
    )

    ended = headway("inject", stdin=rollout)
    assert (ended.status, ended.out) == (0, rollout)
    assert ended.err.startswith(where)
    assert ended.err.count("\n") == 1
    assert "let `headway injector` add the sidecar" in ended.err
    marked = rollout.replace("headway.dev/target: 'a:80'", "headway.dev/injected: 0.1.0")
    ended = headway("uninject", stdin=marked)
    assert (ended.status, ended.out) == (0, marked)
    assert ended.err.startswith(where)
    assert ended.err.endswith("take the sidecar out by hand\n")


def test_an_empty_input(headway: Headway) -> None:
    """Nothing in, nothing out."""
    ended = headway("inject", "--target", "orders:8080")

    assert ended == Ended(0, "", "headway: note: there is no pod, or each declines by headway.dev/inject\n")


def test_help(headway: Headway) -> None:
    """It says what --classic costs; the command's own help names both."""
    words = " ".join(headway("inject", "--help").out.replace("│", " ").split())

    assert "a Job does not end by itself" in words
    assert all(f" {command} " in headway("--help").out for command in ("inject", "uninject"))


@pytest.mark.slow
def test_a_process_of_its_own() -> None:
    """As in `headway inject | kubectl apply -f -`, where the terminal knows no UTF-8."""
    text = PLAIN.replace("team: x", "team: café")
    done = subprocess.run(
        [sys.executable, "-m", "proxy", "inject", "--target", "orders:8080"],
        input=text.encode(),
        capture_output=True,
        env={"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert "café" in done.stdout.decode()
