"""Answers of `corelane ctl` for people: a row per process, and tables below for what an answer holds inside.

The rule: everything that was answered is shown, once, and nothing that was not; the layout follows the shape of the
answer (a value, a list, a table of things alike), so a new command needs nothing here. `--json` is for machines.
Called by cli.py; generators of lines, so that tests read them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

STEP: Final = "  "
NOTHING: Final = "-"


def lines(answers: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """All answers: what is a plain value in one table, then what each answer holds inside."""
    yield from _table("process", answers, "")
    for process, answer in answers.items():
        inside = [line for name, value in answer.items() if _is_deep(value) for line in _inside(name, value, STEP)]
        if inside:
            yield f"{process}:"
            yield from inside


def _inside(name: str, value: Any, indent: str) -> Iterator[str]:
    """One value that is no plain one, under its name."""
    rows = _rows(value)
    if rows is not None:
        yield f"{indent}{name}:"
        yield from _table("", rows, indent + STEP)
        for row, fields in rows.items():
            deep = {key: one for key, one in fields.items() if _is_deep(one)}
            if deep:
                yield f"{indent}{STEP}{row}:"
            for key, one in deep.items():
                yield from _inside(key, one, indent + 2 * STEP)
    elif isinstance(value, Mapping):
        plain = [f"{key}={_text(one)}" for key, one in value.items() if not _is_deep(one)]
        yield f"{indent}{name}: {', '.join(plain)}".rstrip()
        for key, one in value.items():
            if _is_deep(one):
                yield from _inside(key, one, indent + STEP)
    else:
        yield f"{indent}{name}: {', '.join(map(_text, value))}"


def _rows(value: Any) -> dict[str, Mapping[str, Any]] | None:
    """Things alike as rows by name, or by number where they have none; None for what is no such table."""
    if isinstance(value, Mapping) and all(isinstance(one, Mapping) for one in value.values()):
        return dict(value)
    if isinstance(value, list) and all(isinstance(one, Mapping) for one in value):
        return {str(number): one for number, one in enumerate(value, start=1)}
    return None


def _table(corner: str, rows: Mapping[str, Mapping[str, Any]], indent: str) -> Iterator[str]:
    """A head and a line a row. Columns in the order of their first appearance; only those with plain values."""
    columns = list(dict.fromkeys(key for row in rows.values() for key, value in row.items() if not _is_deep(value)))
    if not columns:
        return
    cells = [[corner, *columns]]
    cells += [[name, *(_text(row.get(column)) for column in columns)] for name, row in rows.items()]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns) + 1)]
    for line in cells:
        yield indent + STEP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def _is_deep(value: Any) -> bool:
    """Whether it needs lines of its own; what is empty says no more than a plain value does."""
    return isinstance(value, Mapping | list) and bool(value)


def _text(value: Any) -> str:
    if value is None or value == "" or value == [] or value == {}:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.10g}" if isinstance(value, float) else str(value)
