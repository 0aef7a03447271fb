"""Makes the images: a base where none can be pulled, one with other people's programs, and Headway's own."""

import io
import platform
import re
import shutil
import subprocess
import sys
import tarfile
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import docker
from docker.errors import DockerException, ImageNotFound
from docker.models.images import Image

from tests.containers.engine import WANTS, cannot

HOME = Path(__file__).resolve().parents[2]
OWN_BASE = "headway-test-python:1"  # raise it when `_bootstrap` changes: it is kept from run to run
TOOLS = "headway-test-tools"
BARE = "headway-test-bare"
AHEAD = {"headway-test-wheels": ("--target", "build"), "headway-test-ahead": ()}
PROGRAMS = "binutils curl gcc libc6-dev python3-dev python3-venv redis-server redis-tools"
NOT_IN_AN_IMAGE = [
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/log",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
]
SHELLS = ("sh", "bash", "dash", "rbash", "busybox")


def base(client: docker.DockerClient) -> str:
    """What the Dockerfile stands on by default; where that cannot be pulled, a Debian made here."""
    found = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", (HOME / "Dockerfile").read_text(), re.MULTILINE)
    assert found is not None
    for name in (found[1], OWN_BASE):
        if _has(client, name):
            return name
    try:
        client.images.pull(*found[1].split(":"))
        return found[1]
    except DockerException:
        _bootstrap(client)
        return OWN_BASE


def tools(client: docker.DockerClient, base: str) -> str:
    """The base with programs that know nothing of Headway: curl, Redis, and what wheels are made with."""
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        dockerfile = (
            f"FROM {base}\nCOPY host /\nRUN apt-get update && apt-get install --yes --no-install-recommends "
            f"{PROGRAMS} && rm -rf /var/lib/apt/lists/*\nCOPY host /\n"
        ).encode()
        member = tarfile.TarInfo("Dockerfile")
        member.size = len(dockerfile)
        tar.addfile(member, io.BytesIO(dockerfile))
        tar.addfile(_folder("host"))
        if base == OWN_BASE:
            # A machine that reaches Debian by its own ways builds by them.
            for path in (*Path("/etc/apt").glob("sources.list*"), Path("/etc/ssl/certs/ca-certificates.crt")):
                tar.add(path, f"host{path}")
            for path in Path("/etc/apt/apt.conf.d").glob("99*"):
                tar.add(path, f"host{path}")
    context.seek(0)
    client.images.build(
        fileobj=context, custom_context=True, tag=TOOLS, network_mode="host", rm=True, forcerm=True
    )
    return TOOLS


def headway(tag: str, base: str, tools: str, *flags: str) -> None:
    """`make image`, as a user calls it; over the host's network, which is the one that reaches an index."""
    variables = {
        "IMAGE": tag,
        "PYTHON_IMAGE": base,
        "BUILD_IMAGE": tools,
        "BUILD_FLAGS": " ".join(("--force-rm", "--network", "host", *flags)),
    }
    index = _run(sys.executable, "-m", "pip", "config", "get", "global.index-url")
    if not index.returncode:
        variables["PIP_INDEX_URL"] = index.stdout.strip()
    made = _run("make", "image", *(f"{name}={value}" for name, value in variables.items()))
    assert not made.returncode, (made.stdout + made.stderr)[-4000:]


def ahead(client: docker.DockerClient, base: str, tools: str) -> None:
    """Both stages under names of their own: the next build finds them, and they replace the last."""
    for name, flags in AHEAD.items():
        before = _has(client, name)
        headway(name, base, tools, *flags)
        if before and before.id != client.images.get(name).id:
            with suppress(ImageNotFound):  # somebody else's run may have replaced it, too
                client.images.remove(str(before.id), force=True)


def without_shell(client: docker.DockerClient, base: str) -> str:
    """The base as distroless images are: Python, and nothing that could run a script."""
    remove = (
        "import os, shutil; "
        f"[os.remove(p) for n in {SHELLS} for d in ('/bin/', '/usr/bin/') if os.path.lexists(p := d + n)]; "
        "assert not shutil.which('sh')"
    )
    dockerfile = f'FROM {base}\nRUN ["python3", "-c", "{remove}"]\n'.encode()
    client.images.build(fileobj=io.BytesIO(dockerfile), tag=BARE, rm=True, forcerm=True)
    return BARE


def _has(client: docker.DockerClient, name: str) -> Image | None:
    try:
        return client.images.get(name)
    except ImageNotFound:
        return None


def _bootstrap(client: docker.DockerClient) -> None:
    if shutil.which("debootstrap", path="/usr/sbin:/usr/bin") is None:
        cannot(f"no Python image can be pulled, and there is no debootstrap to make one: {WANTS}")
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    with TemporaryDirectory(dir="/var/tmp", prefix="headway-") as scratch:
        root, tar = f"{scratch}/root", f"{scratch}/root.tar"
        made = _run(
            "/usr/sbin/debootstrap", "--variant=minbase", "--include=python3", suite, root, *_mirror(suite)
        )
        if made.returncode:
            cannot(f"debootstrap failed: {made.stdout[-1000:]}{made.stderr[-1000:]}")
        leave_out = (f"--exclude=./{path}/*" for path in NOT_IN_AN_IMAGE)
        _run("tar", "--create", "--file", tar, "--directory", root, "--one-file-system", *leave_out, ".")
        repository, tag = OWN_BASE.split(":")
        client.api.import_image(src=tar, repository=repository, tag=tag)


def _mirror(suite: str) -> list[str]:
    """Where this machine gets its own packages."""
    wanted = ("Identifier: Packages", f"Codename: {suite}", "Component: main")
    return _run("apt-get", "indextargets", "--format", "$(REPO_URI)", *wanted).stdout.split()[:1]


def _folder(name: str) -> tarfile.TarInfo:
    folder = tarfile.TarInfo(name)
    folder.type, folder.mode = tarfile.DIRTYPE, 0o755
    return folder


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=HOME, capture_output=True, text=True, timeout=600.0)
