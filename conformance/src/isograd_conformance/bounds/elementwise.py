"""Bounds of arithmetic and of functions, element by element."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from isograd.graph.reference import REFERENCE
from isograd_conformance.bounds.tracking import SQRT_ULPS, ULPS, Application, Array, rule


def _roundings(a: Application) -> float:
    """The relative error of correct rounding, u, or of what the backend declares."""
    return max(1.0, 2 * a.ulps(0.5)) * a.unit


@rule("add", "sub")
def _sum_of_two(a: Application) -> Array:
    """u of the result; exact beside an exact 0, and in underflow (Higham, section 2.1) unless flushed.

    Where sums may be reordered and products distributed over them, as in w - eta (g + c w), an addition
    costs up to two roundings of as much as all terms together: its own, and that of a coefficient such as
    1 - eta c.
    """
    ex, ey = (operand.error for operand in a.operands)
    inherited = ex + ey
    mx, my = a.magnitudes
    exact = ((mx == 0) & (ex == 0)) | ((my == 0) & (ey == 0))
    whole = (2 * (mx + my) if a.arithmetic.reorders else abs(a.value)) + inherited
    error = inherited + np.where(exact, 0, _roundings(a) * whole)
    if a.arithmetic.flushes_subnormals:
        # Beside an exact 0 too, a subnormal sum may become 0.
        lost = a.rounded(whole, 0.0)
        error = error + np.where(abs(a.value) <= inherited + lost, lost, 0)
    return error


@rule("mul")
def _product(a: Application) -> Array:
    """u of the result; of the terms' products, where a factor may be distributed over a sum."""
    (x, ex), (y, ey) = a.operands
    inherited = abs(x) * ey + abs(y) * ex + ex * ey
    # An error of 0 stays 0 beside an infinite factor.
    inherited = np.where((ex == 0) & (ey == 0), 0, inherited)
    size = a.magnitudes[0] * a.magnitudes[1] if a.arithmetic.reorders else abs(a.value)
    return inherited + a.rounded(size + inherited, _roundings(a), underflowed=(x != 0) & (y != 0))


@rule("div")
def _quotient(a: Application) -> Array:
    (x, ex), (y, ey) = a.operands
    inherited = (ex + abs(a.value) * ey) / np.maximum(abs(y) - ey, 0)
    inherited = np.where((ex == 0) & (ey == 0), 0, inherited)
    underflowed = (x != 0) & np.isfinite(y)
    return inherited + a.rounded(abs(a.value) + inherited, _roundings(a), underflowed=underflowed)


def _sigmoid(x: Array) -> Array:
    return np.asarray(REFERENCE["sigmoid"](x))


def _nearest_to_zero(low: Array, high: Array) -> Array:
    return np.where((low <= 0) & (high >= 0), 0, np.minimum(abs(low), abs(high)))


def _tanh_slope(low: Array, high: Array) -> Array:
    return 1 / np.cosh(_nearest_to_zero(low, high)) ** 2


def _sigmoid_slope(low: Array, high: Array) -> Array:
    nearest = _nearest_to_zero(low, high)
    return _sigmoid(nearest) * _sigmoid(-nearest)


# The largest |f'| between two points.
SLOPES: dict[str, Callable[[Array, Array], Array]] = {
    "exp": lambda low, high: np.exp(high),
    "log": lambda low, high: 1 / np.maximum(low, 0),
    "sqrt": lambda low, high: 0.5 / np.sqrt(np.maximum(low, 0)),
    "tanh": _tanh_slope,
    "sigmoid": _sigmoid_slope,
    "softplus": lambda low, high: _sigmoid(high),
}


@rule(*SLOPES, "pow")
def _function(a: Application) -> Array:
    """sup|f'| over what the operand may be, times its error, then the ulps of the function itself.

    Twice u an ulp. In underflow so many ulps are as many subnormal numbers. A 0 is exact only of 0, of an
    infinity, or as the logarithm of 1.
    """
    ((x, given),) = a.operands
    inherited = np.zeros(a.value.shape)
    if given.any():
        low, high = x - given, x + given
        slope = _pow_slope(a, low, high) if a.node.primitive == "pow" else SLOPES[a.node.primitive](low, high)
        inherited = np.where(given > 0, slope * given, 0)
    ulps = a.ulps(SQRT_ULPS if a.node.primitive == "sqrt" else ULPS)
    underflowed = (x != 0) & np.isfinite(x) & (a.node.primitive != "log")
    error = inherited + a.rounded(abs(a.value) + inherited, 2 * ulps * a.unit, 2 * ulps, underflowed)
    if a.node.primitive == "exp":
        error = np.where(np.isinf(np.exp(x - given)), 0, error)  # it overflows whatever x is
    if a.node.primitive == "sigmoid":
        # By its definition, 1 / (1 + exp(-x)), it is 0 where the exponential is beyond the range.
        error = np.where(abs(a.value) * float(np.finfo(a.node.dtype).max) <= 1, abs(a.value) + error, error)
    return error


def _pow_slope(a: Application, low: Array, high: Array) -> Array:
    """|p| |x|^(p - 1) is monotonic on either side of 0: largest at an end, or at 0 if that lies between."""
    p = a.node.attributes["exponent"]
    if p == 0:
        return np.zeros(low.shape)
    points = [abs(low), abs(high), _nearest_to_zero(low, high)]
    slope: Array = np.max([abs(p) * point ** (p - 1) for point in points], axis=0)
    return slope
