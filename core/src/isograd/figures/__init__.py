"""Figures of what was learnt and how: filters, mistakes, confusions, curves by epoch.

They need matplotlib (isograd[plot]).

Every function returns a `matplotlib.figure.Figure` that belongs to the caller alone; matplotlib is imported
when the first is called, and its global state (pyplot) never.
"""

from __future__ import annotations

from isograd.figures.curves import plot_curves, plot_history
from isograd.figures.filters import plot_filters
from isograd.figures.measured import plot_measured, plot_overfitting
from isograd.figures.mistakes import confusion_matrix, plot_confusion, plot_errors
from isograd.figures.style import write_figure
from isograd.figures.values import plot_values

__all__ = [
    "confusion_matrix",
    "plot_confusion",
    "plot_curves",
    "plot_errors",
    "plot_filters",
    "plot_history",
    "plot_measured",
    "plot_overfitting",
    "plot_values",
    "write_figure",
]
