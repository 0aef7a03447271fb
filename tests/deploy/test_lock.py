"""What the image is made of, requirements.lock, is what Headway uses."""

import re
import subprocess
import sys
from importlib.metadata import packages_distributions

import pytest

from tests.tables import README

# Those of one system or one Python only, and cffi's compiler, have conditions after their version.
EVERYWHERE = re.compile(r"^([a-z0-9-]+)==\S+ \\$", re.MULTILINE)
EVERY_MODULE = (
    "import importlib, pkgutil, proxy, rich.live, sys, typer.rich_utils\n"
    "for each in pkgutil.walk_packages(proxy.__path__, 'proxy.'): importlib.import_module(each.name)\n"
    "print(*{name.partition('.')[0] for name in sys.modules})"
)


@pytest.mark.slow
def test_no_package_is_unused() -> None:
    """typer 0.29, for one, brought 8 MB of pydantic, and none of it was ever imported."""
    locked = set(EVERYWHERE.findall((README.parent / "requirements.lock").read_text()))
    done = subprocess.run(
        [sys.executable, "-c", EVERY_MODULE], capture_output=True, text=True, check=True, timeout=60
    )
    owners = packages_distributions()
    used = {owner for name in done.stdout.split() for owner in owners.get(name, [])}

    assert {"typer", "uvloop"} <= locked
    assert locked - {re.sub(r"[-_.]+", "-", each).lower() for each in used} == set()
