"""Numbers and functions of a precision at which sums of float64 numbers are exact."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import mpmath
import numpy as np
import numpy.typing as npt

# Object arrays: mpmath numbers, or Python floats as they were given; Python integers; Python bools.
Exact = npt.NDArray[Any]

# A context of its own: the precision of mpmath's global one is left alone.
MP = mpmath.MPContext()
# From 2^128 down to the smallest subnormal number, 2^-1074, and room for carries.
MP.prec = 1300


def number(x: Any) -> Any:
    """x as a number of the precision."""
    return MP.mpf(x)


def total(terms: Iterable[Any]) -> Any:
    """The exact sum; 0 of nothing. Integers stay integers."""
    values = list(terms)
    if all(isinstance(x, int) for x in values):
        return sum(values)
    return sum((number(x) for x in values), number(0))


def is_nan(x: Any) -> bool:
    return not isinstance(x, int) and bool(MP.isnan(x))


def below_zero(x: Any) -> bool:
    """Whether the sign is negative: of a float -0 too."""
    return math.copysign(1, x) < 0 if isinstance(x, float) else x < 0


def divided(x: Any, y: Any) -> Any:
    """x / y by IEEE 754."""
    if y != 0 or is_nan(y):
        return number(x) / number(y)
    if x == 0 or is_nan(x):
        return MP.nan
    return MP.ninf if below_zero(x) != below_zero(y) else MP.inf


def power(x: Any, exponent: float) -> Any:
    """x to a power by IEEE 754: NaN of a negative number, unless the power is whole."""
    whole, odd = exponent == int(exponent), exponent % 2 == 1
    if exponent == 0:
        return number(1)
    if is_nan(x):
        return MP.nan
    if x != 0 and MP.isfinite(x):
        return number(x) ** (int(exponent) if whole else number(exponent)) if x > 0 or whole else MP.nan
    grows = (x != 0) == (exponent > 0)
    size = MP.inf if grows else number(0)
    return -size if odd and below_zero(x) else size


def log(x: Any) -> Any:
    return MP.log(x) if x >= 0 else MP.nan


def sqrt(x: Any) -> Any:
    return MP.sqrt(x) if x >= 0 else MP.nan


def exp(x: Any) -> Any:
    return MP.exp(x)


def tanh(x: Any) -> Any:
    return MP.tanh(x)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + MP.exp(-number(x)))


def softplus(x: Any) -> Any:
    return MP.log1p(MP.exp(x))


def relu(x: Any) -> Any:
    return x if x > 0 or is_nan(x) else number(0)


def absolute(x: Any) -> Any:
    return abs(x)


def sign(x: Any) -> Any:
    return x if is_nan(x) else (x > 0) - (x < 0)


def largest(values: Iterable[Any]) -> Any:
    """The maximum, or NaN if there is one."""
    found = list(values)
    return MP.nan if any(map(is_nan, found)) else max(found)


def first_largest(values: Iterable[Any]) -> int:
    """Where the first NaN is, or else the first of the maxima."""
    found = list(values)
    nans = [i for i, x in enumerate(found) if is_nan(x)]
    return nans[0] if nans else found.index(max(found))


def log_sum_exp(values: Iterable[Any]) -> Any:
    """log(sum(exp(x))): -inf of nothing, and of nothing but -inf."""
    return log(total(MP.exp(x) for x in values))


def truncated(x: Any) -> int:
    """Towards zero."""
    return int(x)


def objects(array: npt.NDArray[Any]) -> Exact:
    """An array of Python's own numbers, each exactly what it was."""
    found = np.empty(array.shape, object)
    for at in np.ndindex(array.shape):
        found[at] = array[at].item()
    return found
