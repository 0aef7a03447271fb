"""Makes the README's tables of settings and metrics from the code: `make tables`."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from proxy.config.service import SERVICE_FIELDS
from proxy.config.setting import Setting, variable
from proxy.config.settings import PROCESS_FIELDS
from proxy.observe.metrics import METRICS

README = Path(__file__).resolve().parents[1] / "README.md"


def settings_table() -> str:
    """The settings of a service, then those of the process."""
    rows = [_row(field, setting) for field, setting in (SERVICE_FIELDS | PROCESS_FIELDS).items()]
    return _table(("setting", "default", "allowed", "meaning"), rows)


def metrics_table() -> str:
    rows = [(f"`{name}`", each.kind, ", ".join(each.labels), each.help) for name, each in METRICS.items()]
    return _table(("metric", "kind", "labels", "meaning"), rows)


TABLES = {"settings": settings_table, "metrics": metrics_table}


def with_tables(readme: str) -> str:
    """`readme` with what stands between the marks of each table made anew."""
    for name, make in TABLES.items():
        before, mark, rest = readme.partition(f"<!-- {name}: made by make tables -->\n")
        _, end, after = rest.partition("<!-- end -->")
        if not end:
            raise ValueError(f"the README has no place for the table of {name}")
        readme = before + mark + make() + end + after
    return readme


def _row(field: str, setting: Setting) -> tuple[str, ...]:
    default = setting.shown if setting.default is None or not setting.default else f"`{setting.default}`"
    # The README says once what a duration looks like.
    allowed = setting.kind.allowed.removeprefix("a duration such as 250ms, 5s or 1m, ")
    return f"`{variable(field)}`", default, allowed, setting.meaning


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    def lines() -> Iterator[str]:
        yield "| " + " | ".join(head) + " |"
        yield "|" + "---|" * len(head)
        for row in rows:
            yield "| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |"

    return "\n".join(lines()) + "\n"


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text()))
