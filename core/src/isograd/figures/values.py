"""One number for each of several things, side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from isograd.errors import ArgumentError, ArgumentTypeError
from isograd.figures.style import COLOURS, FAINT, INK, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST = 60


def plot_values(values: Mapping[str, float], axis: str) -> Figure:
    """A point for each value, in the order given, with its number; small differences stay visible.

    Parameters
    ----------
    values : mapping of str to float
        1 to 60 finite numbers, by name.
    axis : str
        What they measure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentTypeError, ArgumentError
        If values are not as described.
    UnsupportedError
        If matplotlib is not installed.
    """
    if not isinstance(values, Mapping):
        raise ArgumentTypeError(f"values is a {type(values).__name__}; expected a mapping of names")
    if not 1 <= len(values) <= _MOST:
        raise ArgumentError(f"values has {len(values)} entries; expected 1 to {_MOST}")
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ArgumentTypeError(f"values[{name!r}] is {value!r}; expected a number")
        if not math.isfinite(value):
            raise ArgumentError(f"values[{name!r}] is {value!r}; expected a finite number")
    figure = new_figure(6.0, 0.9 + 0.32 * len(values))
    axes = figure.add_subplot()
    places = range(len(values))
    axes.plot(list(values.values()), places, "o", color=COLOURS[0], markersize=6)
    for place, value in zip(places, values.values(), strict=True):
        axes.annotate(
            f"{value:.2f}", (value, place), (7, 0), textcoords="offset points", va="center", color=INK
        )
    axes.set_yticks(places, values)
    axes.set_ylim(len(values) - 0.5, -0.5)
    axes.margins(x=0.15)
    axes.set_xlabel(axis, color=INK)
    axes.tick_params(colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=FAINT, alpha=0.3, linewidth=0.6)
    return figure
