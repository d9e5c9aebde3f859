"""A run's report on the terminal and as an HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from isograd_conformance.bounds.tally import VACUOUS
from isograd_conformance.pages import COLOURS, render
from isograd_conformance.report.matrix import Cell, Matrix, Report
from isograd_conformance.report.records import Status

MARKS: dict[Status, str] = {
    "pass": "✓",
    "fail": "✗",
    "expected": "x",
    "vacuous": "○",
    "unsupported": "-",
    "not run": "·",
}
STYLES: dict[Status, str] = {
    "pass": "good",
    "fail": "bad",
    "expected": "note",
    "vacuous": "note",
    "unsupported": "none",
    "not run": "none",
}


def print_report(report: Report, console: Console, *, tables: bool) -> None:
    """The matrices, where wanted, the numbers and the verdict."""
    if tables:
        for matrix in report.matrices():
            _print_matrix(matrix, console)
    console.print(
        f"{report.elements:,} numbers compared; {100 * report.vacuous:.2f} % vacuous, their bound beyond "
        f"{100 * VACUOUS:.0f} % of the scale; err/E at most {report.worst:.2f} of 2",
        soft_wrap=True,
    )
    if report.unlikely:
        console.print(
            f"warning: {report.unlikely} arrays are within the bound, but farther off than "
            "(3 sqrt(k) + 1) u, which independent roundings hardly ever exceed",
            style="yellow",
            soft_wrap=True,
        )
    for record in report.having("expected"):
        console.print(f"expected to fail: {record.test}: {record.message}", style="yellow", soft_wrap=True)
    good = report.conforms is not False
    console.print(Text(report.sentence, style="bold green" if good else "bold red"), soft_wrap=True)


def _print_matrix(matrix: Matrix, console: Console) -> None:
    title = matrix.backend or "the specification itself"
    if not matrix.backend and matrix.passes:
        # Of interest where something is wrong: it is no backend's doing.
        console.print(f"\n{title}: all of {matrix.tests} tests pass", style="bold")
        return
    if matrix.primitives:
        console.print(f"\n{title}: a mark each for {', '.join(matrix.dtypes)}", style="bold")
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("primitive")
        for name in matrix.properties:
            table.add_column(name)
        for row, columns in matrix.primitives.items():
            cells = [_marks(columns.get(name, {}), matrix.dtypes) for name in matrix.properties]
            table.add_row(row, *cells)
        console.print(table)
        console.print(
            Text("  ".join(f"{mark} {status}" for status, mark in MARKS.items()), style="dim"), soft_wrap=True
        )
    if matrix.areas:
        console.print(f"\n{title}: areas", style="bold")
        console.print(_areas(matrix))


def _marks(cells: Mapping[str, Cell], dtypes: list[str]) -> Text:
    """A mark for each dtype."""
    text = Text()
    for dtype in dtypes:
        cell = cell_of(cells, dtype)
        status: Status = cell.status if cell else "not run"
        text.append(MARKS[status] if cell else " ", style=COLOURS[STYLES[status]])
    return text


def cell_of(cells: Mapping[str, Cell], dtype: str) -> Cell | None:
    """The cell of a dtype, or of tests that are of none in particular but have compared arrays of it."""
    general = cells.get("")
    return cells.get(dtype) or (general if general and dtype in general.dtypes else None)


def _areas(matrix: Matrix) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("area", "judged", "", "tests", "numbers", "vacuous", "err/E"):
        table.add_column(
            column, justify="right" if column in ("tests", "numbers", "vacuous", "err/E") else "left"
        )
    for row in area_rows(matrix):
        table.add_row(
            row["area"],
            row["judges"],
            Text(row["status"], style=COLOURS[row["style"]]),
            str(row["tests"]),
            f"{row['elements']:,}" if row["elements"] else "",
            row["vacuous"],
            row["worst"],
        )
    return table


def area_rows(matrix: Matrix) -> list[dict[str, Any]]:
    """One row for each area and property, over all dtypes."""
    rows = []
    for area, columns in matrix.areas.items():
        for judges, cells in columns.items():
            whole = Cell()
            for cell in cells.values():
                whole.add(cell)
            rows.append(
                {
                    "area": area,
                    "judges": judges,
                    "status": whole.status,
                    "style": STYLES[whole.status],
                    "tests": whole.tests,
                    "elements": whole.elements,
                    "vacuous": f"{100 * whole.vacuous / whole.elements:.2f} %" if whole.elements else "",
                    "worst": f"{whole.worst:.2f}" if whole.elements else "",
                }
            )
    return rows


def as_page(report: Report) -> str:
    """The report as one self-contained HTML page."""
    matrices = [
        {
            "title": matrix.backend or "the specification itself",
            "properties": matrix.properties,
            "dtypes": matrix.dtypes,
            "rows": [
                {
                    "name": row,
                    "cells": [
                        [_page_cell(columns.get(name, {}), dtype) for dtype in matrix.dtypes]
                        for name in matrix.properties
                    ],
                }
                for row, columns in matrix.primitives.items()
            ],
            "areas": area_rows(matrix),
        }
        for matrix in report.matrices()
    ]
    legend = [(MARKS[status], status, STYLES[status]) for status in MARKS]
    return render("matrix.html.jinja", report=report, matrices=matrices, legend=legend)


def _page_cell(cells: Mapping[str, Cell], dtype: str) -> dict[str, str]:
    cell = cell_of(cells, dtype)
    if cell is None:
        return {"mark": "", "style": "", "title": ""}
    title = f"{dtype}: {cell.status}"
    if cell.elements:
        title += f"; {cell.elements:,} numbers, err/E at most {cell.worst:.2f}"
    return {"mark": MARKS[cell.status], "style": STYLES[cell.status], "title": title}
