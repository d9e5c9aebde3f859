"""Gradients by finite differences: a witness that shares nothing with the symbolic rules."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from isograd.errors import ArgumentError, ArgumentTypeError

Float64Array = npt.NDArray[np.float64]
NumericFunction = Callable[[Float64Array], npt.ArrayLike]

_LEVELS = 4
_U = 2.0**-53


def numerical_gradient(
    f: NumericFunction,
    x: npt.ArrayLike,
    *,
    step: float = 2.0**-5,
    noise: npt.ArrayLike = 0.0,
) -> tuple[Float64Array, Float64Array]:
    """The derivatives of f at x by central differences with Richardson extrapolation, and their errors.

    The central difference D(h) = (f(x + h) - f(x - h)) / 2h of a smooth f is f' + c1 h^2 + c2 h^4 + ...;
    those at h, h/2, h/4 and h/8 combine, in Neville's table, into values in which the first powers of h
    cancel. The entry of least estimated error is taken, for each element by itself (Ridders, "Accurate
    computation of F'(x) and F'(x) F''(x)", Advances in Engineering Software 4, 1982).

    Parameters
    ----------
    f : callable
        From a float64 array of the shape of x to a number or an array of any shape; smooth within `step`.
    x : array_like
        Real numbers, of any shape.
    step : float
        The largest h.
    noise : array_like
        A bound on the absolute rounding error of f, beside four units in the last place of its value: for a
        sum of k terms gamma_k * sum(|terms|). A number, or of the shape of f(x).

    Returns
    -------
    gradient : ndarray of float64
        Of the shape of f(x) followed by that of x: for a scalar f of the shape of x.
    error : ndarray of float64
        Of the same shape: the difference of the entry from its neighbours in the table, which estimates the
        powers of h that are left, plus a bound on the rounding error. NaN where f is.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If x is not real, or `step` is no positive number.
    """
    at = np.asarray(x)
    if at.dtype.kind not in "iuf":
        raise ArgumentTypeError(f"x has dtype {at.dtype}; expected real numbers")
    if not 0 < step < np.inf:
        raise ArgumentError(f"step is {step!r}; expected a positive number")
    at = at.astype(np.float64)
    shape = np.shape(f(at.copy()))
    gradient, error = np.zeros((2, *shape, at.size))
    with np.errstate(invalid="ignore"):  # infinity - infinity is NaN, as promised
        for element in range(at.size):
            gradient[..., element], error[..., element] = _derivative(f, at, element, step, np.asarray(noise))
    return gradient.reshape(shape + at.shape), error.reshape(shape + at.shape)


def _derivative(
    f: NumericFunction, x: Float64Array, element: int, step: float, noise: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """The derivative of f with respect to one element of x, and its estimated error."""
    table: list[list[Float64Array]] = []
    bounds: list[list[Float64Array]] = []  # of the rounding error of each entry of the table
    best = error = np.asarray(np.nan)
    for level in range(_LEVELS):
        difference, bound = _central_difference(f, x, element, step / 2**level, noise)
        row, row_bounds = [difference], [bound]
        for column in range(1, level + 1):
            factor, above = 4.0**column, table[-1][column - 1]
            row.append((factor * row[-1] - above) / (factor - 1))
            row_bounds.append((factor * row_bounds[-1] + bounds[-1][column - 1]) / (factor - 1))
            left = row[column - 1]
            estimate = np.maximum(abs(row[-1] - left), abs(row[-1] - above)) + row_bounds[-1]
            better = ~(estimate >= error)
            best, error = np.where(better, row[-1], best), np.where(better, estimate, error)
        table.append(row)
        bounds.append(row_bounds)
    return best, error


def _central_difference(
    f: NumericFunction, x: Float64Array, element: int, h: float, noise: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """D(h) and a bound on its rounding error.

    A value of f is wrong by `noise` + 4 * 2u|f|, and by |f'| u|x + h| because x + h is rounded; two such
    errors divided by 2h are one divided by h.
    """
    values = []
    for shifted in (x.flat[element] + h, x.flat[element] - h):
        moved = x.copy()
        moved.flat[element] = shifted
        values.append(np.asarray(f(moved), dtype=np.float64))
    difference = (values[0] - values[1]) / (2 * h)
    largest = np.maximum(abs(values[0]), abs(values[1]))
    return difference, (noise + 8 * _U * largest + _U * abs(difference) * (abs(x.flat[element]) + h)) / h
