"""Where the windows of convolutions and poolings lie: for backends whose arrays are indexed by arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from isograd.graph.primitives.checks import window_count

__all__ = ["plane_indices", "window_indices"]

Indices = npt.NDArray[np.intp]


def window_indices(
    size: Sequence[int], window: Sequence[int], stride: Sequence[int], dilation: Sequence[int] = (1, 1)
) -> tuple[Indices, Indices]:
    """Row and column of each pixel of each VALID window in an image plane.

    ``x[:, :, *window_indices(x.shape[2:], window, stride)]`` is what the windows of images x see, of shape
    (batch, channels, rows, columns, *window).

    Parameters
    ----------
    size, window, stride, dilation : pair of int
        Vertical, then horizontal, as in `isograd.graph.conv2d`.

    Returns
    -------
    tuple of ndarray
        Of shapes (rows, 1, window[0], 1) and (1, columns, 1, window[1]).
    """
    rows, columns = map(window_count, size, window, stride, dilation)
    i, j, u, v = np.ogrid[:rows, :columns, : window[0], : window[1]]
    return i * stride[0] + u * dilation[0], j * stride[1] + v * dilation[1]


def plane_indices(index: npt.NDArray[np.int32], width: int) -> tuple[Indices, Indices, Indices, Indices]:
    """Batch, channel, row and column that the indices of a max pooling point to.

    ``x[plane_indices(index, x.shape[3])]`` is `isograd.graph.pool_gather2d`.

    Parameters
    ----------
    index : int32 array of shape (batch, channels, rows, columns)
        row * width + column within a plane.
    width : int
        The number of columns of a plane.

    Returns
    -------
    tuple of ndarray
        That are broadcast to the shape of `index`.
    """
    batch, channel, *_ = np.ogrid[: index.shape[0], : index.shape[1], :1, :1]
    row, column = np.divmod(index, width)
    return batch, channel, row, column
