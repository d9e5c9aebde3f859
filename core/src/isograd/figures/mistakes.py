"""What a network takes for what: the misclassified images, and the confusion matrix."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from isograd.data import Dataset
from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.figures.style import FAINT, INK, MISTAKE, PAPER, new_figure, without_frame
from isograd.training.checks import whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CELL = 0.8


def plot_errors(
    data: Dataset, predicted: npt.ArrayLike, *, columns: int = 8, limit: int | None = None
) -> Figure:
    """The misclassified images: the right class at the top right of each, the given one at the bottom right.

    Images of one channel are drawn dark on light, as ink on paper: black is the largest value that occurs in
    the image. Three channels are red, green and blue. The given class is in another colour and bold.

    Parameters
    ----------
    data : Dataset
        Its examples are images: (1 or 3 channels, height, width), (height, width), or (n,) for a square.
    predicted : array-like of int, (n,)
        The class that was given to each example, as `Network.predict` returns it.
    columns : int
        Images in a row.
    limit : int, optional
        Show only so many, the first of the data.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentTypeError, ShapeError, ArgumentError
        If an argument is not as described, or nothing is misclassified.
    UnsupportedError
        If matplotlib is not installed.
    """
    given = _checked_classes("predicted", predicted)
    _check_as_many(data.labels, given)
    columns = whole("columns", columns, 1)
    wrong = np.flatnonzero(given != data.labels)
    if limit is not None:
        wrong = wrong[: whole("limit", limit, 1)]
    if not len(wrong):
        raise ArgumentError("predicted has no error; there is nothing to show")
    images = _as_images(data.inputs[wrong])
    across = min(columns, len(wrong))
    down = math.ceil(len(wrong) / across)
    figure = new_figure(across * _CELL * 1.25, down * _CELL)
    for axes in figure.subplots(down, across, squeeze=False).flat:
        without_frame(axes)
    for axes, image, index in zip(figure.axes, images, wrong, strict=False):
        axes.imshow(image, cmap="gray_r", interpolation="nearest", vmin=0, vmax=image.max() or 1)
        axes.spines[:].set(visible=True, color=FAINT, linewidth=0.4)
        _beside(axes, 1, data.class_name(data.labels[index]), color=INK, va="top")
        _beside(axes, 0, data.class_name(given[index]), color=MISTAKE, va="bottom", fontweight="bold")
    return figure


def confusion_matrix(
    labels: npt.ArrayLike, predicted: npt.ArrayLike, classes: int | None = None
) -> npt.NDArray[np.int64]:
    """How many examples of class i were taken for class j, at [i, j]: int64, (classes, classes).

    Parameters
    ----------
    labels, predicted : array-like of int, (n,)
        The right and the given classes, from 0.
    classes : int, optional
        How many there are; by default one more than the largest that occurs.

    Raises
    ------
    ArgumentTypeError, ShapeError, ArgumentError
        If an argument is not as described.
    """
    right, given = _checked_classes("labels", labels), _checked_classes("predicted", predicted)
    _check_as_many(right, given)
    largest = int(max(right.max(), given.max()))
    count = largest + 1 if classes is None else whole("classes", classes, 1)
    if largest >= count:
        raise ArgumentError(f"classes is {count}; the largest class that occurs is {largest}")
    matrix = np.zeros((count, count), np.int64)
    np.add.at(matrix, (right, given), 1)
    return matrix


def plot_confusion(
    labels: npt.ArrayLike, predicted: npt.ArrayLike, *, names: tuple[str, ...] | None = None
) -> Figure:
    """The confusion matrix with its counts: rows the right class, columns the given one.

    The shade of a cell off the diagonal is its share of the largest such count. The diagonal is not shaded:
    it would leave all mistakes of a good network white.

    Parameters
    ----------
    labels, predicted : array-like of int, (n,)
        As in `confusion_matrix`.
    names : tuple of str, optional
        The name of each class; by default its number.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentTypeError, ShapeError, ArgumentError
        If an argument is not as described.
    UnsupportedError
        If matplotlib is not installed.
    """
    matrix = confusion_matrix(labels, predicted, None if names is None else len(names))
    count = len(matrix)
    shown = [str(number) for number in range(count)] if names is None else list(names)
    mistakes = np.ma.masked_array(matrix, np.eye(count, dtype=bool) | (matrix == 0))
    largest = int(mistakes.filled(0).max()) or 1
    figure = new_figure(*(max(3.0, 1.2 + 0.5 * count),) * 2)
    axes = figure.add_subplot()
    axes.set_facecolor(PAPER)
    axes.imshow(mistakes, cmap="Blues", vmin=0, vmax=largest)
    for (row, column), value in np.ndenumerate(matrix):
        if value:
            on_dark = row != column and value > 0.6 * largest
            axes.text(
                column,
                row,
                f"{value:,}",
                ha="center",
                va="center",
                fontsize=8,
                color=PAPER if on_dark else INK,
                fontweight="bold" if row == column else "normal",
            )
    axes.set_xticks(range(count), shown, color=INK)
    axes.set_yticks(range(count), shown, color=INK)
    axes.tick_params(length=0)
    axes.spines[:].set_color(FAINT)
    axes.set_xlabel("given class", color=INK)
    axes.set_ylabel("right class", color=INK)
    return figure


def _beside(axes: Axes, y: float, text: str, **style: Any) -> None:
    """A class to the right of an image, at its top (1) or its bottom (0)."""
    axes.text(1.05, y, text, transform=axes.transAxes, ha="left", fontsize=9, **style)


def _as_images(inputs: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(n, height, width), or (n, height, width, 3) from 0 to 1."""
    match inputs.shape[1:]:
        case (height, width) | (1, height, width):
            return inputs.reshape(-1, height, width)
        case (3, _, _):
            highest = inputs.max() or 1
            return np.clip(np.moveaxis(inputs, 1, -1) / highest, 0, 1)
        case (pixels,) if math.isqrt(pixels) ** 2 == pixels:
            return inputs.reshape(-1, math.isqrt(pixels), math.isqrt(pixels))
    raise ShapeError(
        f"data has examples of shape {list(inputs.shape[1:])}; an image is (1 or 3 channels, height, width), "
        "(height, width) or the pixels of a square"
    )


def _checked_classes(argument: str, values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    given = np.asarray(values)
    if given.dtype.kind not in "iu":
        raise ArgumentTypeError(f"{argument} is of dtype {given.dtype}; expected whole numbers")
    if given.ndim != 1 or not given.size:
        raise ShapeError(f"{argument} has shape {list(given.shape)}; expected (n,), n at least 1")
    if given.min() < 0:
        raise ArgumentError(f"{argument} holds {given.min()}; expected classes from 0")
    return given.astype(np.int64)


def _check_as_many(labels: npt.NDArray[Any], predicted: npt.NDArray[Any]) -> None:
    if len(labels) != len(predicted):
        raise ShapeError(f"predicted has {len(predicted)} classes for {len(labels)} examples")
