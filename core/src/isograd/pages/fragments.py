"""Pieces of HTML that a notebook shows: without Jinja, without a script or a request to anywhere."""

from __future__ import annotations

import base64
from collections.abc import Collection, Sequence
from html import escape


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], bold: Collection[int] = ()) -> str:
    """A table whose first column is text and whose others are numbers; all of it is escaped.

    It has the colours of what is around it, so that it reads on light and dark alike.

    Parameters
    ----------
    headings : sequence of str
    rows : sequence of sequence of str
        As long as the headings each.
    bold : collection of int
        The rows that stand out, from 0.
    """
    head = _row("th", headings)
    body = [_row("td", row, bold=number in bold) for number, row in enumerate(rows)]
    rows_shown = f"<thead>{head}</thead><tbody>{''.join(body)}</tbody>"
    return f'<div style="overflow-x:auto"><table>{rows_shown}</table></div>'


def image(svg: bytes, text: str) -> str:
    """A drawing in SVG, as an image: its names can not meet those of others; `text` is what it shows."""
    uri = f"data:image/svg+xml;base64,{base64.b64encode(svg).decode('ascii')}"
    return f'<img src="{uri}" alt="{escape(text)}" style="max-width:100%">'


def frame(page: str, title: str) -> str:
    """A whole page inside of another one, which its style does not touch; scripts do not run in it."""
    style = "border:1px solid currentColor;border-radius:4px;width:100%;height:32em"
    return f'<iframe title="{escape(title)}" sandbox style="{style}" srcdoc="{escape(page)}"></iframe>'


def _row(kind: str, cells: Sequence[str], bold: bool = False) -> str:
    weight = ";font-weight:bold" if bold else ""
    aligned = ["left", *["right"] * (len(cells) - 1)]
    shown = [
        f'<{kind} style="text-align:{side}{weight}">{escape(cell)}</{kind}>'
        for side, cell in zip(aligned, cells, strict=True)
    ]
    return f"<tr>{''.join(shown)}</tr>"
