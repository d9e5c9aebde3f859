"""What commands print: tables, or with --json one JSON object a line. Light to import: rich comes late."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line, and nothing else.")]

# Into a pipe or a file a table goes at its full width: cut cells could not be searched.
_UNLIMITED = 100_000


def print_text(text: str = "") -> None:
    """A text and the end of its line on stdout, seen at once by whoever reads along."""
    print(text, flush=True)


def print_json(**values: Any) -> None:
    """One JSON object on one line of stdout, seen at once by whoever reads along."""
    print_text(json.dumps(plain_data(values), allow_nan=False))


def print_rows(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """A table whose columns are the keys of the first row, or each row as a JSON object."""
    if as_json:
        for row in rows:
            print_json(**row)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in rows[0] if rows else ():
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(_cell, row.values()))
    width = None if sys.stdout.isatty() else _UNLIMITED
    Console(width=width, markup=False, highlight=False, emoji=False).print(table)


def percent(share: float) -> str:
    """A share as people read it: 0.9923 is "99.23 %"."""
    return f"{100 * share:.2f} %"


def _cell(value: Any) -> Any:
    """A value as text; what rich draws itself stays."""
    if hasattr(value, "__rich_console__"):
        return value
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value is None else str(value)


def plain_data(value: Any) -> Any:
    """Plain data without NaN and infinities, which JSON does not have: they become texts, as in a history."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: plain_data(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_data(item) for item in value]
    return value
