"""A cross-check as a table on the terminal and as an HTML page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from isograd_conformance.bounds.tally import VACUOUS
from isograd_conformance.crosscheck.verdict import Cell, CrossCheck
from isograd_conformance.pages import COLOURS, render

RESULTS = {"whole": "from end to end"}


class ShownCell(NamedTuple):
    """A cell's text, and "good", "bad", "note" (nothing is proved) or "none" (nothing is there)."""

    text: str
    style: str


class ShownRow(NamedTuple):
    """A row; the layer is named in its first one only."""

    layer: str
    result: str
    cells: list[ShownCell]


def shown_rows(check: CrossCheck) -> Iterator[ShownRow]:
    """The table's rows, in the order of the network."""
    last = None
    for layer, phase, kind, cells in check.rows():
        name = check.layers[layer]
        result = "output, predicting" if phase == "prediction" else RESULTS.get(kind, kind)
        ordered = [_shown(cells.get(backend.specification)) for backend in check.backends]
        yield ShownRow("" if name == last else name, result, ordered)
        last = name


def _shown(cell: Cell | None) -> ShownCell:
    if cell is None:
        return ShownCell("", "none")
    if not cell.agrees:
        return ShownCell(f"WRONG {cell.worst:.3g}", "bad")
    if cell.kind == "whole" and not cell.elements:
        return ShownCell("not judged", "none")
    if cell.vacuous > VACUOUS:
        return ShownCell(f"{100 * cell.vacuous:.0f} % vacuous", "note")
    return ShownCell(f"ok {cell.worst:.2f}", "good")


def print_check(check: CrossCheck, console: Console) -> None:
    """The verdict for people: the table, the sentence, and what is to be done."""
    console.print(f"{check.title}, {check.dtype}: {check.steps} steps of {check.examples} examples")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("layer", "result", *(backend.specification for backend in check.backends)):
        table.add_column(column)
    for row in shown_rows(check):
        cells = [Text(cell.text, style=COLOURS[cell.style]) for cell in row.cells]
        table.add_row(Text(row.layer, style="bold"), row.result, *cells)
    console.print()
    console.print(table)
    console.print()
    for parting in check.partings:
        where = f"{parting.phase} step {parting.step}, layer {check.layers[parting.layer]}, {parting.array}"
        console.print(Text(f"{parting.backend}: {where}", style="bold"))
        console.print(parting.problem)
        console.print(parting.diagnosis, soft_wrap=True)
    for drift in check.drifts:
        console.print(
            f"after {check.steps} steps on their own {drift.backend} and {drift.other} are "
            f"{drift.largest:.1e} of the scale of {drift.path} apart",
            style="dim",
        )
    console.print(
        f"ok 0.50: the error is 0.50 of the rounding bound E, of at most 2; {check.elements:,} numbers "
        f"compared, {100 * check.vacuous:.2f} % vacuous; {check.seconds:.0f} s",
        style="dim",
    )
    console.print(Text(check.sentence, style="bold green" if check.agrees else "bold red"))


def as_page(check: CrossCheck) -> str:
    """The verdict as one self-contained HTML page."""
    return render("crosscheck.html.jinja", check=check, rows=list(shown_rows(check)))
