"""Curves by epoch: several runs in one picture, or all that one run recorded."""

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

# The lines of `plot_history`: field, label and look, by panel. A data set looks the same in both, and as in
# `plot_overfitting`.
_COSTS = (("cost", "training, regularisation included", 0), ("validation_cost", "validation", 2))
_ACCURACIES = (("validation_accuracy", "validation", 2), ("test_accuracy", "test", 3))


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


def plot_history(history: History) -> Figure:
    """One run by epoch: its costs at the left, its accuracies in per cent at the right.

    A line for each of the training cost, the validation data and the test data that was measured at all;
    without any accuracy there are the costs alone.

    Raises
    ------
    ArgumentTypeError, ArgumentError
        If it is no history, or one without epochs.
    UnsupportedError
        If matplotlib is not installed.
    """
    if not isinstance(history, History):
        raise ArgumentTypeError(f"history is a {type(history).__name__}; expected a History")
    if not history.epochs:
        raise ArgumentError("history has no epoch; there is nothing to show")
    panels = {
        title: [(label, number, line) for name, label, number in lines if (line := recorded(history, name))]
        for title, lines in (("cost", _COSTS), ("accuracy (%)", _ACCURACIES))
    }
    shown = {title: lines for title, lines in panels.items() if lines}
    figure = new_figure(4.5 * len(shown), 3.7)
    drawn = figure.subplots(1, len(shown), squeeze=False)[0]
    for axes, (title, lines) in zip(drawn, shown.items(), strict=True):
        for label, number, line in lines:
            axes.plot(list(line), list(line.values()), label=label, **look(number))
        by_epoch(axes)
        axes.set_ylabel(title, color=INK)
        axes.legend(frameon=False, labelcolor=INK)
    return figure


def recorded(history: History, name: str) -> dict[int, float]:
    """A field of `EpochRecord` by epoch, where it was measured; an accuracy in per cent."""
    factor = 100 if name.endswith("accuracy") else 1
    values = {record.epoch: getattr(record, name) for record in history.epochs}
    return {epoch: factor * value for epoch, value in values.items() if value is not None}


def checked_runs(histories: object, most: int, expected: str) -> dict[str, History]:
    """Histories by name, at least one; `expected` is what a message asks for."""
    if not isinstance(histories, Mapping):
        raise ArgumentTypeError(f"histories is a {type(histories).__name__}; expected {expected}")
    if not 1 <= len(histories) <= most:
        raise ArgumentError(f"histories has {len(histories)} runs; expected 1 to {most}")
    for name, history in histories.items():
        if not isinstance(history, History):
            raise ArgumentTypeError(f"histories[{name!r}] is a {type(history).__name__}; expected a History")
    return dict(histories)


def _points(histories: Mapping[str, History], quantity: str) -> dict[str, dict[int, float]]:
    """By run and epoch; accuracies in per cent."""
    if quantity not in QUANTITIES:
        raise ArgumentError(f"quantity is {quantity!r}; expected one of {', '.join(QUANTITIES)}")
    points: dict[str, dict[int, float]] = {}
    for name, history in checked_runs(histories, LOOKS, "a mapping of names").items():
        points[name] = recorded(history, quantity)
        if not points[name]:
            raise ArgumentError(f"histories[{name!r}] has no epoch with a {quantity}")
    return points
