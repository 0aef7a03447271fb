"""What one pod can ask of the injector while all others wait: little, whatever its annotations are."""

import json
import re
import time
from itertools import count, islice, product
from string import ascii_lowercase

import pytest

from proxy.inject.order import DOMAIN, MOST_ANNOTATIONS, MOST_CHARACTERS, MOST_SERVICES
from proxy.injector.reviews import (
    LONGEST_NAME,
    MOST_SHOWN,
    BadReview,
    Result,
    Reviewed,
    review,
)
from proxy.injector.wanted import MOST_CONTAINERS
from tests.injector.scenes import DEFAULTS, TARGET, asking, pod
from tests.injector.test_reviews import reviewed

SOON_S = 0.25  # of work: 0.04 where the limits were measured, and seconds without them
Asked = dict[str, str]


def ours(**named: str) -> Asked:
    return {f"{DOMAIN}{name.replace('_', '-')}": text for name, text in named.items()}


def size(annotations: Asked) -> int:
    return sum(len(name.removeprefix(DOMAIN)) + len(text) for name, text in annotations.items())


def several(count: int, long: int = 2) -> Asked:
    """That many services, each with a target."""
    names = ["".join(each).ljust(long, "a") for each in product(ascii_lowercase, repeat=2)][:count]
    targets = {f"{DOMAIN}{name}-target": f"h{place}:{9000 + place}" for place, name in enumerate(names)}
    return ours(services=",".join(names)) | targets


def filled(annotations: Asked, name: str, unit: str, times: int = 1) -> Asked:
    """With one more of as many units as are allowed, where each of them counts so many times."""
    key = f"{DOMAIN}{name}"
    room = MOST_CHARACTERS - size(annotations) - len(name)
    return annotations | {key: (unit * (room // times // len(unit))).strip(",")}


def addresses() -> Asked:
    """A target of as many as are allowed."""
    listed = (f"[::{number:x}]:1" for number in count(1))
    return ours(listen=":80", target="static://" + ",".join(islice(listed, MOST_CHARACTERS // 10 - 10)))


def misspelt(count: int, word: str) -> Asked:
    return {f"{DOMAIN}{word}{number}": "" for number in range(count)}


MOST = several(MOST_SERVICES)
LEFT = MOST_ANNOTATIONS - len(MOST)
WITHIN = {
    "services": MOST,
    "services without targets": ours(services=MOST[f"{DOMAIN}services"]),
    "services of long names": several(MOST_SERVICES, long=110),
    "a limit that shifts with each": MOST | ours(connect_timeout="20s", eject_base="1h"),
    "servers for each": filled(MOST, "dns-servers", "::1,", MOST_SERVICES),
    "no servers for each": filled(MOST, "dns-servers", "::,", MOST_SERVICES),
    "a long word for each": filled(MOST, "balancer", "p2", MOST_SERVICES),
    "a long word": filled(TARGET, "balancer", "p2"),
    "near words for each": MOST | ours(balancer="p2cc", health_check="tccp", ip_family="aut"),
    "addresses": addresses(),
    "long": filled(TARGET, "x", "x"),
    "unknown": TARGET | misspelt(MOST_ANNOTATIONS - 1, "connect-timeuot"),
    "unknown and services": MOST | misspelt(LEFT, "aa-tiemout-connetc"),
    "unknown and long services": several(MOST_SERVICES, long=24) | misspelt(LEFT, "a" * 24),
    "known in odd letters": MOST | {f"{DOMAIN}{word}": "" for word in ("Image", "CPU", "Memory", "INJECT")},
    "twice the prefix": MOST | misspelt(LEFT, "headway-headway-target"),
    "link of a Service": TARGET | {f"{DOMAIN}{'service-port-' * 600}": "x"},
    "of the whole process": MOST | {f"{DOMAIN}{a}{b}-log-level": "" for a, b in product("ab", "abcdefghij")},
}


def soon(about: object) -> Reviewed:
    """The answer, which is little work."""
    body = json.dumps(asking(about)).encode()
    took = []
    for _ in range(3):
        began = time.thread_time()
        answer = review(body, DEFAULTS)
        took.append(time.thread_time() - began)

    assert min(took) < SOON_S
    return answer


@pytest.mark.parametrize("annotations", WITHIN.values(), ids=WITHIN)
def test_soon_answered(annotations: Asked) -> None:
    """Whatever the limits allow takes tens of milliseconds, and the answer is small."""
    crowd = [{"name": f"c{number}"} for number in range(MOST_CONTAINERS)]
    answer = soon(pod(annotations, containers=crowd))

    assert "more than" not in answer.reason
    assert len(answer.body) < 3 * MOST_CHARACTERS


@pytest.mark.parametrize(
    "annotations,says",
    [
        (TARGET | misspelt(MOST_ANNOTATIONS, "x"), "it has 201 annotations headway.dev/…, more than 200"),
        (ours(target="x" * MOST_CHARACTERS), "have 8198 characters: more than 8192"),
        (TARGET | {f"{DOMAIN}{'x' * MOST_CHARACTERS}": ""}, "characters: more than 8192"),
        (several(33), "annotation headway.dev/services names 33 services, more than 32"),
        (ours(services=" ".join("a" * n for n in range(1, 34))), "names 33 services"),
        (ours(services="," * 16_000), "names 16001 services"),
        (ours(HEADWAY_SERVICES="," * 16_000), "names 16001 services"),
        (ours(services=",".join(f"s{n}" for n in range(30_000))), "names 30000 services"),
        (
            several(32) | ours(dns_servers="10.0.0.1," * 100),
            "of which 900 count for each of 32 services: more than 8192",
        ),
        (misspelt(15_000, "x"), "15000 annotations"),
    ],
)
def test_too_much(annotations: Asked, says: str) -> None:
    """Beyond the limits it is refused, soon and in few words, and told which limit it was."""
    answer = soon(pod(annotations))

    assert answer.result is Result.REFUSED
    assert says in answer.reason
    assert len(answer.body) < 2 * MOST_SHOWN


@pytest.mark.parametrize("where", ["containers", "initContainers"])
def test_a_crowd(where: str) -> None:
    """Three megabytes can list more containers than any node runs."""
    about = pod(TARGET)
    about["spec"][where] = [{"name": "a"}] * 100_000
    answer = soon(about)

    assert answer.result is Result.REFUSED
    assert re.fullmatch(f"it has 10000[01] containers, more than {MOST_CONTAINERS}", answer.reason)


def test_annotations_of_others() -> None:
    """Kubernetes refuses as many, in its own words: they are not gone through for it."""
    answer = soon(pod(TARGET | {f"a{number}": "" for number in range(150_000)}))

    assert (answer.result, answer.reason) == (Result.UNCHANGED, "")


def test_long_reasons() -> None:
    """What is told and logged ends with an ellipsis where it would be too long."""
    answer = reviewed(pod(ours(target="x" * 5_000)))
    response = json.loads(answer.body)["response"]

    assert answer.reason.startswith("HEADWAY_TARGET=xxx")
    assert answer.reason.endswith("x…")
    assert len(answer.reason) == MOST_SHOWN + 1
    assert response["status"]["message"] == f"headway: {answer.reason}"


def test_long_names() -> None:
    """Kubernetes refuses them only later: until then they fill no log."""
    about = pod(TARGET)
    about["metadata"]["name"] = "x" * 10_000
    answer = reviewed(about, namespace="y" * 10_000)

    assert (len(answer.namespace), len(answer.pod)) == (LONGEST_NAME, LONGEST_NAME)


def test_long_versions() -> None:
    """What is no review is not repeated at length either."""
    with pytest.raises(BadReview) as error:
        review(json.dumps(asking(pod()) | {"kind": "x" * 10_000}).encode(), DEFAULTS)

    assert len(str(error.value)) < MOST_SHOWN + 200
