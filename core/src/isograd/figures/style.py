"""What all figures share: their colours, an empty figure, and writing one to a file."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isograd.data.files import file_name
from isograd.errors import ArgumentError, FileAccessError, UnsupportedError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Of Okabe and Ito's list ("Color Universal Design", 2008), whose colours people with any common colour
# blindness tell apart, those with a contrast of at least 3 to white; the markers tell lines apart without
# any colour.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000")
MARKERS = ("o", "s", "^", "D", "v")
DASHES = ("-", "--", ":")

# How many lines of one figure can be told apart.
LOOKS = len(COLOURS) * len(DASHES)

# Figures are drawn on paper of their own, so that they read the same on a dark page.
PAPER = "#FFFFFF"
INK = "#222222"
FAINT = "#8C8C8C"
MISTAKE = "#D55E00"

DPI = 200
PAGE_DPI = 144
# Of a page, to an inch of a figure.
PAGE_PIXELS = 96
PAGE_COLOURS = 48


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches, which belongs to no global state.

    Raises
    ------
    UnsupportedError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UnsupportedError(
            'figures need matplotlib, which is not installed: pip install "isograd[plot]"'
        ) from error
    return Figure(figsize=(width, height), layout="constrained", facecolor=PAPER)


def look(number: int) -> dict[str, Any]:
    """How the line of that number, from 0 to `LOOKS` - 1, is drawn: as none before it."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        "linestyle": DASHES[number // len(COLOURS)],
        "linewidth": 1.6,
        "markersize": 4,
    }


def by_epoch(axes: Axes) -> None:
    """Make the horizontal axis one of epochs, in whole numbers, and draw a faint grid."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch", color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.tick_params(colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=FAINT, alpha=0.3, linewidth=0.6)


def without_frame(axes: Axes) -> None:
    """Take the ticks and the frame away: what is drawn is a picture and has no scale."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def figure_png(figure: Figure) -> bytes:
    """A figure as a PNG file for a page: few colours and few pixels, so that a page of many stays small."""
    from PIL import Image

    drawn, small = BytesIO(), BytesIO()
    figure.savefig(drawn, dpi=PAGE_DPI, format="png")
    drawn.seek(0)
    with Image.open(drawn) as image:
        image.convert("RGB").quantize(PAGE_COLOURS).save(small, "PNG", optimize=True)
    return small.getvalue()


def figure_svg(figure: Figure) -> bytes:
    """A figure as an SVG file."""
    drawn = BytesIO()
    figure.savefig(drawn, format="svg")
    return drawn.getvalue()


def write_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure in the format of the file name's ending: png, pdf, svg or another of matplotlib's.

    Raises
    ------
    ArgumentError
        If matplotlib knows no format of that ending.
    FileAccessError
        If the file can not be written.
    """
    shown = file_name(path)
    ending = Path(shown).suffix.removeprefix(".").lower()
    known = figure.canvas.get_supported_filetypes()
    if ending not in known:
        raise ArgumentError(
            f"the figure's file is {shown!r}; expected a name that ends in .{', .'.join(known)}"
        )
    try:
        figure.savefig(path, dpi=DPI, format=ending)
    except OSError as error:
        raise FileAccessError(f"{shown}: the figure can not be written: {error.strerror or error}") from error
