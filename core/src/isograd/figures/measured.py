"""What callbacks measured by epoch, and training against validation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from isograd.errors import ArgumentError, ArgumentTypeError
from isograd.figures.curves import checked_runs, recorded
from isograd.figures.style import INK, LOOKS, MISTAKE, by_epoch, look, new_figure
from isograd.training.gaps import TRAINING_ACCURACY, TRAINING_COST, overfitting
from isograd.training.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

# How the axis calls what `isograd.training.Diagnostics` measures, by prefix; norms differ by powers of ten.
_TITLES = {
    "gradient_norm/": "norm of the gradient",
    "weight_norm/": "norm of the parameter",
    "update_ratio/": "norm of a step by that of the parameter",
    "dead/": "dead units (fraction)",
    "saturated/": "saturated units (fraction)",
}
_LOGARITHMIC = ("gradient_norm/", "weight_norm/", "update_ratio/")

MOST_PANELS = 4


def plot_measured(
    histories: Mapping[str, History] | History, prefix: str = "gradient_norm/", *, ending: str = ""
) -> Figure:
    """Some of what was measured by epoch: a panel for each run, in it a line for each name.

    All panels have one scale, for norms and ratios a logarithmic one (unless all are 0), on which a 0
    interrupts the line, as a value that is not finite does anywhere. A name looks the same in every panel.

    Parameters
    ----------
    histories : History, or mapping of str to History
        By the name for the panel's title; at most 4 runs.
    prefix, ending : str
        Which names of `EpochRecord.measured`: those that begin and end so, at most 15. The legend leaves the
        prefix out.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentTypeError, ArgumentError
        If an argument is not as described, or a run has measured nothing of such a name.
    UnsupportedError
        If matplotlib is not installed.
    """
    named = {"": histories} if isinstance(histories, History) else histories
    runs = checked_runs(named, MOST_PANELS, "a History or a mapping of names")
    names = _names(runs, prefix, ending)
    figure = new_figure(2.2 + 3.2 * len(runs), 3.7)
    panels = figure.subplots(1, len(runs), sharey=True, squeeze=False)[0]
    lines: dict[str, Line2D] = {}
    for axes, (title, history) in zip(panels, runs.items(), strict=True):
        for number, name in enumerate(names):
            points = {r.epoch: r.measured[name] for r in history.epochs if name in r.measured}
            if points:
                label = name.removeprefix(prefix)
                (lines[name],) = axes.plot(list(points), list(points.values()), label=label, **look(number))
        by_epoch(axes)
        axes.set_title(title, fontsize="medium", color=INK)
    values = [record.measured.get(name, 0.0) for h in runs.values() for record in h.epochs for name in names]
    if prefix in _LOGARITHMIC and any(0 < value < math.inf for value in values):
        panels[0].set_yscale("log", nonpositive="mask")
    panels[0].set_ylabel(_TITLES.get(prefix, f"{prefix}*{ending}"), color=INK)
    figure.legend(
        handles=[lines[name] for name in names], loc="outside right upper", frameon=False, labelcolor=INK
    )
    return figure


def plot_overfitting(history: History) -> Figure:
    """Training against validation: accuracy at the left, cost at the right, and where the gap opened.

    A vertical line marks `Overfitting.opened`, the epoch from which on the validation cost is above its
    lowest and the training cost still below what it was there; without one there is no line.

    Parameters
    ----------
    history : History
        Of a run with `isograd.training.Diagnostics` and validation data.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentTypeError, ArgumentError
        As `isograd.training.overfitting`.
    UnsupportedError
        If matplotlib is not installed.
    """
    found = overfitting(history)
    figure = new_figure(9.0, 3.7)
    accuracy, cost = figure.subplots(1, 2)
    _pair(accuracy, history, TRAINING_ACCURACY, "validation_accuracy", 100)
    accuracy.set_ylabel("accuracy (%)", color=INK)
    _pair(cost, history, TRAINING_COST, "validation_cost", 1)
    cost.set_ylabel("cost, without regularisation", color=INK)
    for axes in (accuracy, cost):
        by_epoch(axes)
        if found.opened is not None:
            label = f"the gap opens: epoch {found.opened}"
            axes.axvline(found.opened, color=MISTAKE, linewidth=1.0, linestyle="--", label=label)
        axes.legend(frameon=False, labelcolor=INK)
    return figure


def _pair(axes: Axes, history: History, training: str, validation: str, factor: float) -> None:
    """A line for the sample of the training data and one for the validation data."""
    lines = {
        "training": {
            r.epoch: factor * r.measured[training] for r in history.epochs if training in r.measured
        },
        "validation": recorded(history, validation),
    }
    # The first and the third look: the second has the colour of the mark.
    for number, (label, points) in zip((0, 2), lines.items(), strict=True):
        axes.plot(list(points), list(points.values()), label=label, **look(number))


def _names(runs: Mapping[str, History], prefix: str, ending: str) -> list[str]:
    """The names that are drawn, in the order in which they first come."""
    for argument, value in (("prefix", prefix), ("ending", ending)):
        if not isinstance(value, str):
            raise ArgumentTypeError(f"{argument} is {value!r}; expected a text")
    names: dict[str, None] = {}
    for run, history in runs.items():
        found = {
            name: None
            for record in history.epochs
            for name in record.measured
            if name.startswith(prefix) and name.endswith(ending)
        }
        if not found:
            which = f"histories[{run!r}]" if run else "the history"
            raise ArgumentError(
                f"{which} has no epoch with a measured {prefix}*{ending}; the callback Diagnostics measures "
                "such numbers (isograd train --diagnostics 1000)"
            )
        names |= found
    if len(names) > LOOKS:
        raise ArgumentError(
            f"{len(names)} measured names begin with {prefix!r} and end with {ending!r}; expected at most "
            f"{LOOKS}, which a longer prefix or ending selects"
        )
    return list(names)
