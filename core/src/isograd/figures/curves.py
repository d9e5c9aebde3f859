"""Curves by epoch, several runs in one picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from isograd.errors import ArgumentError, ArgumentTypeError
from isograd.figures.style import INK, LOOKS, by_epoch, look, new_figure
from isograd.training.history import History

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The fields of an `EpochRecord` that may be drawn, and how the axis calls them.
QUANTITIES = {
    "validation_accuracy": "validation accuracy (%)",
    "validation_cost": "validation cost",
    "test_accuracy": "test accuracy (%)",
    "cost": "training cost, regularisation included",
}


def plot_curves(histories: Mapping[str, History], quantity: str = "validation_accuracy") -> Figure:
    """One quantity by epoch, a line for each run.

    Lines differ by colour and marker, and from the sixth on by their dashes too. Epochs count from 0. An
    epoch in which the quantity was not measured has no point; a value that is not finite interrupts the line.

    Parameters
    ----------
    histories : mapping of str to History
        By the name for the legend; at most 15 runs.
    quantity : str
        A field of `EpochRecord`: "validation_accuracy", "validation_cost", "test_accuracy" or "cost".

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentTypeError, ArgumentError
        If an argument is not as described, or a run has no epoch with the quantity.
    UnsupportedError
        If matplotlib is not installed.
    """
    points = _points(histories, quantity)
    figure = new_figure(6.0, 3.7)
    axes = figure.add_subplot()
    for number, (name, line) in enumerate(points.items()):
        axes.plot(list(line), list(line.values()), label=name, **look(number))
    by_epoch(axes)
    axes.set_ylabel(QUANTITIES[quantity], color=INK)
    if len(points) > 1:
        axes.legend(frameon=False, labelcolor=INK)
    else:
        axes.set_title(next(iter(points)), fontsize="medium", color=INK)
    return figure


def _points(histories: Mapping[str, History], quantity: str) -> dict[str, dict[int, float]]:
    """By run and epoch; accuracies in per cent."""
    if quantity not in QUANTITIES:
        raise ArgumentError(f"quantity is {quantity!r}; expected one of {', '.join(QUANTITIES)}")
    if not isinstance(histories, Mapping):
        raise ArgumentTypeError(f"histories is a {type(histories).__name__}; expected a mapping of names")
    if not 1 <= len(histories) <= LOOKS:
        raise ArgumentError(f"histories has {len(histories)} runs; expected 1 to {LOOKS}")
    factor = 100 if quantity.endswith("accuracy") else 1
    points: dict[str, dict[int, float]] = {}
    for name, history in histories.items():
        if not isinstance(history, History):
            raise ArgumentTypeError(f"histories[{name!r}] is a {type(history).__name__}; expected a History")
        values = {record.epoch: getattr(record, quantity) for record in history.epochs}
        points[name] = {epoch: factor * value for epoch, value in values.items() if value is not None}
        if not points[name]:
            raise ArgumentError(f"histories[{name!r}] has no epoch with a {quantity}")
    return points
