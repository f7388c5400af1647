"""Figures as tables for people."""

from collections.abc import Iterator, Mapping
from typing import Any


def tables(figures: Mapping[str, Any]) -> str:
    """Give each group of figures as a table under its name, and a line for what is missing."""
    groups = {name: group for name, group in figures.items() if isinstance(group, Mapping)}
    missing = groups.pop("missing", {})
    told = [f"{name.replace('_', ' ')}\n{table(group)}" for name, group in groups.items() if group]
    told += [f"{name}: {why}" for name, why in missing.items()]
    return "\n\n".join(told)


def table(figures: Mapping[str, Any]) -> str:
    """Give nested figures as text: a line for each innermost group, a column for each figure."""
    rows = dict(_groups(figures, ""))
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    lines = [["", *(name.replace("_", " ") for name in columns)]]
    lines += [[name, *(str(row.get(each, "")) for each in columns)] for name, row in rows.items()]
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.rjust, line, widths)) for line in lines)


def _groups(figures: Mapping[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Go through the groups of figures, each with the names that lead to it."""
    own = {name: value for name, value in figures.items() if not isinstance(value, Mapping)}
    if own:
        yield path, own
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _groups(value, f"{path}, {name}" if path else name)
