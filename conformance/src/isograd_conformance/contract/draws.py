"""Every random number of a run, from the raw words of NumPy's Philox by the published recipe.

The recipe is the documentation of `isograd.random`; nothing of that module is used. One number is drawn at a
time with Python's own floats, each of whose operations is rounded by itself.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

# Wichura, "Algorithm AS 241: the percentage points of the normal distribution", Applied Statistics 37, 1988,
# PPND16: numerator and denominator in the centre, in the tails and in the far tails, highest degree first.
# fmt: off
CENTRE = (
    (2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
     1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.387132872796366608),
    (5.226495278852854561e3, 2.8729085735721942674e4, 3.930789580009271061e4, 2.1213794301586595867e4,
     5.3941960214247511077e3, 6.871870074920579083e2, 4.2313330701600911252e1, 1.0),
)
TAIL = (
    (7.7454501427834140764e-4, 2.27238449892691845833e-2, 2.4178072517745061177e-1, 1.27045825245236838258,
     3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959, 1.42343711074968357734),
    (1.05075007164441684324e-9, 5.475938084995344946e-4, 1.51986665636164571966e-2,
     1.4810397642748007459e-1, 6.8976733498510000455e-1, 1.6763848301838038494, 2.05319162663775882187, 1.0),
)
FAR_TAIL = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.2426609473880784386e-3, 2.6532189526576123093e-2,
     2.9656057182850489123e-1, 1.7848265399172913358, 5.4637849111641143699, 6.6579046435011037772),
    (2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5, 7.868691311456132591e-4,
     1.48753612908506148525e-2, 1.3692988092273580531e-1, 5.9983220655588793769e-1, 1.0),
)
# fmt: on


def words(seed: int, purpose: str, path: str, count: int, epoch: int = 0, step: int = 0) -> list[int]:
    """Raw 64-bit words: key (seed, SHA-256 of "purpose/path"), counter (0, step, epoch, 0)."""
    digest = hashlib.sha256(f"{purpose}/{path}".encode()).digest()
    key = np.array([seed, int.from_bytes(digest[:8], "little")], np.uint64)
    counter = np.array([0, step, epoch, 0], np.uint64)
    return [int(word) for word in np.random.Philox(key=key, counter=counter).random_raw(count)]


def mask(
    seed: int, path: str, shape: Sequence[int], p_dropout: float, epoch: int, step: int
) -> npt.NDArray[np.bool_]:
    """A dropout mask: bool of `shape`, True where the unit is kept, with probability 1 - p_dropout."""
    raw = words(seed, "dropout", path, math.prod(shape), epoch, step)
    return np.array([(word >> 11) * 2.0**-53 < 1 - p_dropout for word in raw], bool).reshape(shape)


def order(seed: int, epoch: int, examples: int) -> list[int]:
    """In which order an epoch visits the examples: by their words, of equal ones the first first."""
    raw = words(seed, "shuffle", "", examples, epoch)
    return sorted(range(examples), key=raw.__getitem__)


def normal(seed: int, path: str, shape: Sequence[int]) -> npt.NDArray[np.float64]:
    """Standard normal numbers for the initial values of an array: float64 of `shape`."""
    raw = words(seed, "initialise", path, math.prod(shape))
    return np.array([percentage_point(word >> 11) for word in raw]).reshape(shape)


def percentage_point(k: int) -> float:
    """The inverse of the normal distribution function at (k + 1/2) / 2^53."""
    odd = 2 * k + 1 - 2**53
    q = odd * 2.0**-54
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        above, below = (_polynomial(part, r) for part in CENTRE)
        return q * above / below
    r = math.sqrt(-_log((2**53 - abs(odd)) * 2.0**-54))
    coefficients, shifted = (TAIL, r - 1.6) if r <= 5 else (FAR_TAIL, r - 5)
    above, below = (_polynomial(part, shifted) for part in coefficients)
    return math.copysign(above / below, odd)


def _log(x: float) -> float:
    """log(x) by the series of the inverse hyperbolic tangent: the same bits on every machine."""
    fraction, exponent = math.frexp(x)
    if fraction < float.fromhex("0x1.6a09e667f3bcdp-1"):
        fraction, exponent = 2 * fraction, exponent - 1
    s = (fraction - 1) / (fraction + 1)
    series = _polynomial([1.0 / n for n in range(21, 0, -2)], s * s)
    return exponent * float.fromhex("0x1.62e42fefa39efp-1") + 2 * s * series


def _polynomial(coefficients: Sequence[float], x: float) -> float:
    value = coefficients[0]
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value
