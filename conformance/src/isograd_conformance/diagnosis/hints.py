"""What the way in which numbers are wrong says about the mistake."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from isograd.graph import FLOATING, Tensor
from isograd_conformance.bounds import Judgement, wrong_elements
from isograd_conformance.bounds.sums import SUMS, terms
from isograd_conformance.bounds.tracking import UNIT, Array, Tracked

# Other arrangements of what was expected, by what they are called.
ARRANGEMENTS: dict[str, Callable[[Array], Array]] = {
    "transposed in its last two axes": lambda a: np.swapaxes(a, -1, -2),
    "with its first two axes exchanged": lambda a: np.swapaxes(a, 0, 1),
    "reversed along its last axis": lambda a: np.flip(a, -1),
    "reversed along its first axis": lambda a: np.flip(a, 0),
    "reversed along its last two axes": lambda a: np.flip(a, (-2, -1)),
    "shifted by one along its last axis": lambda a: np.roll(a, 1, -1),
    "shifted by one back along its last axis": lambda a: np.roll(a, -1, -1),
    "shifted by one along its first axis": lambda a: np.roll(a, 1, 0),
    "shifted by one back along its first axis": lambda a: np.roll(a, -1, 0),
}


def hint(judgement: Judgement) -> str:
    """A sentence on what the wrong numbers look like; empty where they look like nothing known."""
    found, (value, error) = judgement.found, judgement.held
    if found.shape != value.shape:
        return f"the shape is {list(found.shape)}; expected {list(value.shape)}"
    wrong = wrong_elements(found, judgement.held)
    if judgement.tensor.dtype not in FLOATING or not wrong.any():
        return next(_arranged(found, judgement.held), "")
    x, y = found.astype(float)[wrong], value.astype(float)[wrong]
    for sentence in (
        *_special(x, y),
        *_ratio(x, y, error[wrong], judgement.tensor),
        *_arranged(found, judgement.held),
    ):
        return sentence
    return next(_precision(judgement), "")


def _special(found: Array, expected: Array) -> Iterator[str]:
    if np.isnan(expected).all() and np.isfinite(found).all():
        yield "NaN is lost: it does not pass through"
    elif np.isnan(found).all() and not np.isnan(expected).any():
        overflowed = "0 / 0, inf - inf or 0 * inf on the way, as without a shift by the maximum"
        yield f"NaN instead of a number: {overflowed}"
    elif np.isinf(found).all() and np.isfinite(expected).all():
        yield "an overflow on the way"
    elif (found == 0).all() and (expected != 0).all():
        yield "zero instead of a number: not computed, not written or flushed"
    elif (found == expected).all():
        yield "right but for the sign of a zero"


def _ratio(found: Array, expected: Array, error: Array, tensor: Tensor) -> Iterator[str]:
    """One factor between all that is wrong, or one difference."""
    usable = np.isfinite(found) & np.isfinite(expected) & (expected != 0) & np.isfinite(error)
    if not usable.all():
        return
    # Of two numbers known to within 2 E and 1 ulp, the quotient is known to within about as much, relatively.
    doubt = (2 * error + UNIT[tensor.dtype] * abs(found)) / abs(expected)
    ratios = found / expected
    low, high = (ratios - doubt).max(), (ratios + doubt).min()
    if low <= high:
        for factor, meaning in _factors(tensor):
            if low <= factor <= high:
                yield f"exactly {_as_text(factor)} times what is expected{meaning}"
                return
        # A single number has a ratio to any other: that says nothing.
        if len(ratios) > 1 and np.ptp(expected):
            yield f"{ratios.mean():.6g} times what is expected, everywhere"
            return
    differences = found - expected
    low, high = (differences - 2 * error).max(), (differences + 2 * error).min()
    if len(differences) > 1 and low <= high and np.ptp(expected):
        yield f"off by {differences.mean():.6g} everywhere"


def _factors(tensor: Tensor) -> Iterator[tuple[float, str]]:
    """Factors that mistakes are known for, with what each may mean."""
    yield -1.0, ": the sign"
    k = terms(tensor) if tensor.primitive in SUMS else 1
    if k > 1:
        yield 1 / k, ": as many as there are terms, as a mean for a sum"
        yield float(k), ": as many as there are terms, as a sum for a mean"
    yield 2.0, ": counted twice"
    yield 0.5, ": halved"
    sizes: dict[int, str] = {}
    for x in tensor.inputs:
        for axis, n in enumerate(x.shape):
            sizes.setdefault(n, f"the size of axis {axis} of an operand")
        sizes.setdefault(x.size, "the number of an operand's elements")
    sizes.setdefault(tensor.size, "the number of elements")
    for n, meaning in sizes.items():
        if n > 2:
            yield float(n), f": {meaning}"
            yield 1 / n, f": {meaning}"


def _as_text(factor: float) -> str:
    return f"{factor:g}" if factor >= 0.5 or factor < 0 else f"1/{round(1 / factor)}"


def _arranged(found: Array, held: Tracked) -> Iterator[str]:
    value, error = held
    if value.size < 2:
        return
    for name, arrange in ARRANGEMENTS.items():
        try:
            other, doubt = arrange(value), arrange(error)
        except (ValueError, np.exceptions.AxisError):
            continue  # too few axes
        if other.shape == value.shape and not wrong_elements(found, Tracked(other, doubt)).any():
            yield f"what is expected, {name}"


def _precision(judgement: Judgement) -> Iterator[str]:
    """The precision below the dtype's whose rounding explains the errors.

    err/E times the unit roundoff of the dtype is that of an arithmetic in which the bound would be met; an
    operand that is rounded as well as the result counts twice, and long sums stay far below their bounds.
    """
    own = UNIT[judgement.tensor.dtype]
    needed = judgement.worst * own
    for name in ("float32", "float16", "bfloat16"):
        u = UNIT[name]
        if own < u and u / 64 <= needed <= 3 * u:
            yield f"the errors are those of a computation in {name}"
            return
