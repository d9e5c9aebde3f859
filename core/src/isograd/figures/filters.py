"""The learned filters of a convolutional layer, as grey blocks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.figures.style import FAINT, INK, new_figure, without_frame
from isograd.training.checks import whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Inches. At this size the pixels of a filter of 5 x 5 are still blocks in print.
_WIDTH = 6.5
_LARGEST_BLOCK = 0.9
_LEAST_WIDTH = 2.5
_SCALE_HEIGHT = 0.5

# In pixels of a filter: the space between two filters, and between two channels of one.
_GAP = 1.0
_CHANNEL_GAP = 0.5


def plot_filters(weight: npt.ArrayLike, *, columns: int | None = None) -> Figure:
    """The filters of a layer, a grid of grey blocks: the darker, the larger the weight.

    One scale of grey serves all filters: white is the smallest weight, black the largest, so that filters can
    be compared. A filter on several input channels is a group of blocks, one a channel, in reading order; no
    sum or mean over channels, which would show a filter that the network does not have.

    Parameters
    ----------
    weight : array-like (maps, channels, height, width)
        Finite numbers: the array "NAME.weight" of a `Convolution` or `ConvPool`.
    columns : int, optional
        Filters in a row; by default so many that the grid is about three times as wide as high, or as
        wide as high with several channels, whose blocks are smaller.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentTypeError, ShapeError, ArgumentError
        If weight or columns are not as described.
    UnsupportedError
        If matplotlib is not installed.
    """
    filters = _checked_weight(weight)
    maps, channels, height, width = filters.shape
    across = (
        min(maps, math.ceil(math.sqrt(maps if channels > 1 else 3 * maps)))
        if columns is None
        else whole("columns", columns, 1)
    )
    channels_across = math.ceil(math.sqrt(channels))
    wide = _extent(channels_across, width, _CHANNEL_GAP) + _GAP
    high = _extent(math.ceil(channels / channels_across), height, _CHANNEL_GAP) + _GAP
    corners = [
        (
            _GAP + number // across * high + channel // channels_across * (height + _CHANNEL_GAP),
            _GAP + number % across * wide + channel % channels_across * (width + _CHANNEL_GAP),
        )
        for number in range(maps)
        for channel in range(channels)
    ]
    size = (_GAP + math.ceil(maps / across) * high, _GAP + min(across, maps) * wide)
    return _drawn(filters.reshape(-1, height, width), corners, size)


def _extent(count: int, size: int, gap: float) -> float:
    """Of so many blocks in a row, in pixels of a filter."""
    return count * size + (count - 1) * gap


def _drawn(
    blocks: npt.NDArray[np.float64], corners: list[tuple[float, float]], size: tuple[float, float]
) -> Figure:
    """The blocks with their upper left corners (y, x) in an area of that (height, width)."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    _, height, width = blocks.shape
    # As one picture, of two cells a pixel for the half gaps: a picture for each block would take seconds.
    cells = (round(2 * size[0]), round(2 * size[1]))
    picture = np.ma.MaskedArray(np.zeros(cells), np.ones(cells, dtype=bool))
    for block, (y, x) in zip(blocks, corners, strict=True):
        rows, columns = (
            slice(round(2 * y), round(2 * (y + height))),
            slice(round(2 * x), round(2 * (x + width))),
        )
        picture[rows, columns] = block.repeat(2, axis=0).repeat(2, axis=1)
    inch = min(_WIDTH / size[1], _LARGEST_BLOCK / width)
    figure = new_figure(max(size[1] * inch, _LEAST_WIDTH), size[0] * inch + _SCALE_HEIGHT)
    axes = figure.add_subplot()
    without_frame(axes)
    image = axes.imshow(
        picture, cmap="gray_r", extent=(0, size[1], size[0], 0), interpolation="nearest", aspect="equal"
    )
    # Where a block is white at its rim, the frame still shows where it ends.
    frames = [Rectangle((x, y), width, height) for y, x in corners]
    axes.add_collection(PatchCollection(frames, facecolor="none", edgecolor=FAINT, linewidth=0.4))
    bar = figure.colorbar(image, ax=axes, location="bottom", shrink=0.5, aspect=40, pad=0.02)
    bar.ax.tick_params(labelsize=7, colors=INK)
    bar.set_label("weight", fontsize=8, color=INK)
    return figure


def _checked_weight(weight: npt.ArrayLike) -> npt.NDArray[np.float64]:
    given = np.asarray(weight)
    if given.dtype.kind not in "fiu":
        raise ArgumentTypeError(f"weight is of dtype {given.dtype}; expected numbers")
    if given.ndim != 4 or not given.size:
        raise ShapeError(f"weight has shape {list(given.shape)}; expected (maps, channels, height, width)")
    if not np.isfinite(given).all():
        raise ArgumentError("weight holds a NaN or an infinity; expected finite numbers")
    return given.astype(np.float64)
