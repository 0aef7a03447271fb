"""The README is true: its tables are those of the code, its commands are those that exist."""

import re

from proxy.config import from_env
from tests.tables import README, with_tables


def test_tables_are_those_of_the_code() -> None:
    """Settings and metrics as listed are what there is; `make tables` puts it right."""
    readme = README.read_text()

    assert with_tables(readme) == readme


def test_the_manifest_sets_only_what_exists() -> None:
    """Every HEADWAY_ variable of the example pod is accepted as it stands there."""
    manifest = README.read_text().split("```yaml")[1].split("```")[0]
    pairs = re.findall(r'name: (HEADWAY_\w+).*\n\s+value: "(.*)"', manifest)

    assert pairs
    from_env(dict(pairs))
