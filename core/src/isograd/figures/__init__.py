"""Figures of what was learnt: filters, mistakes, curves and confusions. They need matplotlib (isograd[plot]).

Every function returns a `matplotlib.figure.Figure` that belongs to the caller alone; matplotlib is imported
when the first is called, and its global state (pyplot) never.
"""

from __future__ import annotations

from isograd.figures.curves import plot_curves
from isograd.figures.filters import plot_filters
from isograd.figures.mistakes import confusion_matrix, plot_confusion, plot_errors
from isograd.figures.style import write_figure
from isograd.figures.values import plot_values

__all__ = [
    "confusion_matrix",
    "plot_confusion",
    "plot_curves",
    "plot_errors",
    "plot_filters",
    "plot_values",
    "write_figure",
]
