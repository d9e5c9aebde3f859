"""The arithmetic of warps: elementary functions, Gaussian smoothing, bilinear interpolation.

Every machine gives the same bits. A library's exp, sin and cos differ between processors in the last bit and
are not used: all is elementwise NumPy in a fixed order, but for the matrix products of the smoothing. Those
differ in the order of their sums, which is of no consequence where every sum is exact.
"""

from __future__ import annotations

import math
from functools import lru_cache
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
# Weights are multiples of 1 / _UNITS; `smooth` says why.
_UNITS = 2.0**18


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


def smooth(fields: npt.NDArray[np.int16], sigma: float) -> npt.NDArray[np.float64]:
    """Each field (the last two axes), in units of 2**-15, convolved with a Gaussian; 0 beyond the edge.

    The result is exact for the weights of `half_gaussian`: the same bits in whatever order BLAS adds, and
    whether or not it fuses. They are multiples of 2**-18, so that the terms of the first matrix product are
    multiples of 2**-33 and those of the second of 2**-51. No field is beyond 1, and the weights are at least
    0 and sum to at most 1: no partial sum is beyond 1 either. Doubles hold such multiples up to 4.
    """
    height, width = fields.shape[-2:]
    # Image by image, not all rows at once: products of up to 64 pixels a side are too small for OpenBLAS to
    # start threads (docs/decisions/0004-threads.md).
    down: Floats = (gaussian(height, sigma) * 2.0**-15) @ fields
    across: Floats = down @ gaussian(width, sigma)
    return across


@lru_cache(maxsize=8)
def gaussian(size: int, sigma: float) -> npt.NDArray[np.float64]:
    """The matrix that smooths a line of `size` pixels: symmetric, (size, size), not to be written to."""
    half = half_gaussian(sigma)
    weights = np.zeros(max(size, len(half)))
    weights[: len(half)] = half
    places = np.arange(size)
    matrix: npt.NDArray[np.float64] = weights[np.abs(places[:, None] - places)]
    matrix.setflags(write=False)
    return matrix


def half_gaussian(sigma: float) -> npt.NDArray[np.float64]:
    """The weights by distance, from 0 on: multiples of 2**-18, none negative; all, on both sides, sum to 1.

    A Gaussian cut off at 4 sigma and scaled, as in SciPy's `gaussian_filter`, of which the sums from the
    outside in are rounded, half a unit each; the weights, their differences, are off by at most a unit.
    """
    radius = int(_TRUNCATE * sigma + 0.5)
    distances = np.arange(radius + 1, dtype=np.float64)
    # With sigma below 1/4 the argument is beyond the range of exp, where that still is right to 2**-40.
    exact = exp(-0.5 * (distances / sigma) ** 2)
    # cumsum adds one after the other on every machine, as sum does not have to.
    tails = np.cumsum(exact[:0:-1])
    total = exact[0] + 2 * tails[-1] if radius else exact[0]
    weights = np.diff(np.rint(tails / total * _UNITS), prepend=0)[::-1]
    return np.concatenate([[_UNITS - 2 * weights.sum()], weights]) / _UNITS


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
    # Not maximum and minimum: with a scalar they take six times as long.
    np.clip(y, -1, height, out=y)
    np.clip(x, -1, width, out=x)
    top, left = np.floor(y), np.floor(x)
    y -= top
    x -= left
    line = width + 3
    places = (top * line + left).astype(np.intp)
    places += (np.arange(n) * (height + 3) * line + line + 1)[:, None, None]
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
