"""The arithmetic of warps: elementary functions, Gaussian smoothing, bilinear interpolation.

All is elementwise NumPy in a fixed order, so that every machine gives the same bits. A library's exp, sin and
cos differ between processors in the last bit, and a matrix product in the order of its sums: neither is used.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[Any]

# With 40 terms the first one left out is below 2**-53 of the sum for arguments up to 8, the largest here.
_TERMS = 40
_EXP = [1 / math.factorial(n) for n in range(_TERMS)]
_SINE = [(-1) ** n / math.factorial(2 * n + 1) for n in range(_TERMS // 2)]
_COSINE = [(-1) ** n / math.factorial(2 * n) for n in range(_TERMS // 2)]
# Simard's fields are smooth; what a Gaussian has beyond four standard deviations is 6e-5 of it.
_TRUNCATE = 4


def exp(x: Floats) -> Floats:
    """e**x for -8 <= x <= 8, float64: the Taylor series at abs(x), where no two terms cancel."""
    result = _series(np.abs(x), _EXP)
    return np.where(x < 0, 1 / result, result)


def sine_and_cosine(angle: Floats) -> tuple[Floats, Floats]:
    """sin and cos for abs(angle) <= pi, float64: Taylor series in the squared angle."""
    square = angle * angle
    return angle * _series(square, _SINE), _series(square, _COSINE)


def _series(x: Floats, coefficients: list[float]) -> Floats:
    """Horner's rule; the lowest coefficient comes first."""
    result = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        result *= x
        result += coefficient
    return result


def smooth(fields: Floats, sigma: float) -> Floats:
    """Each field (the last two axes) convolved with a Gaussian of that standard deviation; 0 beyond the edge.

    The weights are cut off at 4 sigma and sum to 1, as in SciPy's `gaussian_filter` with mode "constant".
    """
    radius = int(_TRUNCATE * sigma + 0.5)
    distances = np.arange(radius + 1, dtype=np.float64)
    half = exp(-0.5 * (distances / sigma) ** 2)
    weights = half / (half[0] + 2 * half[1:].sum())
    return _along_rows(_along_rows(fields, weights).swapaxes(-1, -2), weights).swapaxes(-1, -2)


def _along_rows(fields: Floats, weights: Floats) -> Floats:
    """The smoothing down the columns. The fields lie innermost, so that every operation is on whole rows."""
    height, width = fields.shape[-2:]
    lines = np.ascontiguousarray(np.moveaxis(fields.reshape(-1, height, width), 0, -1))
    result = lines * fields.dtype.type(weights[0])
    for distance in range(1, min(len(weights), height)):
        weighted = lines * fields.dtype.type(weights[distance])
        result[distance:] += weighted[:-distance]
        result[:-distance] += weighted[distance:]
    back: Floats = np.moveaxis(result, -1, 0).reshape(fields.shape)
    return back


def bilinear(images: npt.NDArray[Any], y: Floats, x: Floats) -> Floats:
    """The images' values at other places, 0 outside.

    Parameters
    ----------
    images : ndarray, shape (n, channels, height, width)
    y, x : float32 or float64 arrays, shape (n, height, width)
        Where the value of each pixel of the result comes from, in pixels from the centre of the first. They
        are overwritten.

    Returns
    -------
    ndarray, shape (n, channels, height, width)
        Of the places' dtype. At whole numbers it is the pixel itself, bit for bit.
    """
    n, channels, height, width = images.shape
    # A frame of zeros instead of a test for each neighbour: one pixel before, two behind, as the place
    # `height` has a neighbour further out.
    framed = np.zeros((channels, n, height + 3, width + 3), y.dtype)
    framed[:, :, 1:-2, 1:-2] = images.swapaxes(0, 1)
    # minimum and maximum, not clip: a third of its time on small arrays.
    np.minimum(np.maximum(y, -1, out=y), height, out=y)
    np.minimum(np.maximum(x, -1, out=x), width, out=x)
    top, left = np.floor(y), np.floor(x)
    y -= top
    x -= left
    line = width + 3
    places = ((top + 1) * line + (left + 1)).astype(np.intp)
    places += (np.arange(n) * (height + 3) * line)[:, None, None]
    result = np.empty((n, channels, height, width), y.dtype)
    for channel in range(channels):
        flat = framed[channel].reshape(-1)
        upper = _between(flat, places, x)
        lower = _between(flat[line:], places, x)
        lower -= upper
        lower *= y
        np.add(upper, lower, out=result[:, channel])
    return result


def _between(flat: Floats, places: npt.NDArray[np.intp], fraction: Floats) -> Floats:
    """From each place to its right neighbour, `fraction` of the way."""
    # The places are in range, and this mode does without the check of "raise".
    first = flat.take(places, mode="clip")
    step = flat[1:].take(places, mode="clip")
    step -= first
    step *= fraction
    first += step
    return first
