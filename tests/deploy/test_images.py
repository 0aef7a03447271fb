"""Images from a registry of one's own, by a kustomization on top as deploy/README.md shows it."""

import re
import shutil
from pathlib import Path

import pytest

from tests.deploy.kustomize import APPLICATIONS, DEPLOY, built, needs_kubectl

pytestmark = needs_kubectl

INJECTORS = ["injector", "injector/cert-manager"]
IMAGE = re.compile(r"(?:\bimage: |--image=)(\S+)")  # of a container; the one that the injector hands out


def images(tmp_path: Path, kustomization: str) -> list[str]:
    """Every image that is named in what the kustomization makes of deploy/, which lies where it says."""
    shutil.copytree(DEPLOY, tmp_path / "headway" / "deploy")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "kustomization.yaml").write_text(kustomization)
    return IMAGE.findall(built(mine))


def documented(directory: str) -> str:
    text = (DEPLOY / "README.md").read_text().split("```yaml\n")[1].split("```")[0]
    assert "headway/deploy/base]" in text
    return text.replace("headway/deploy/base]", f"headway/deploy/{directory}]")


@pytest.mark.parametrize("directory", [*APPLICATIONS, *INJECTORS])
def test_every_image_comes_from_there(tmp_path: Path, directory: str) -> None:
    """The injector's argument too: else it would put an image into pods that the registry does not have."""
    found = images(tmp_path, documented(directory))

    assert set(found) == {"registry.example/headway:0.1.0"}
    assert directory not in INJECTORS or len(found) == 2


@pytest.mark.parametrize("directory", INJECTORS)
def test_a_digest(tmp_path: Path, directory: str) -> None:
    """It is pinned in both places, whatever else the kustomization changes."""
    digest = f"sha256:{'24a0c4b4' * 8}"
    text = documented(directory).replace("newTag: 0.1.0", f'digest: "{digest}"') + "namePrefix: our-\n"

    assert images(tmp_path, text) == [f"registry.example/headway@{digest}"] * 2
