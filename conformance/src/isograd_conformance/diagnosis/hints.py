"""What the way in which numbers are wrong says about the mistake."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

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


class Hint(NamedTuple):
    """What wrong numbers look like.

    Attributes
    ----------
    kind : str
    sentence : str
    by_one : bool
        Whether a single wrong number shows it.
    """

    kind: str
    sentence: str
    by_one: bool


def hint(judgement: Judgement, smallest: Judgement | None = None) -> str:
    """A sentence on what the wrong numbers look like; empty where they look like nothing known.

    Parameters
    ----------
    judgement : Judgement
    smallest : Judgement, optional
        Of a smaller example of the same mistake: what it contradicts is not said.
    """
    found = list(_hints(judgement))
    if smallest is not None and smallest is not judgement:
        small = {h.kind: h for h in _hints(smallest)}
        found = [small.get(h.kind, h) for h in found if h.kind in small or not h.by_one]
    return found[0].sentence if found else ""


def _hints(judgement: Judgement) -> Iterator[Hint]:
    found, (value, error) = judgement.found, judgement.held
    if found.shape != value.shape:
        yield Hint("shape", f"the shape is {list(found.shape)}; expected {list(value.shape)}", True)
        return
    wrong = wrong_elements(found, judgement.held)
    if judgement.tensor.dtype in FLOATING and wrong.any():
        x, y = found.astype(float)[wrong], value.astype(float)[wrong]
        yield from _special(x, y)
        yield from _ratio(x, y, error[wrong], judgement.tensor)
    yield from _arranged(found, judgement.held)
    if judgement.tensor.dtype in FLOATING:
        yield from _precision(judgement)


def _special(found: Array, expected: Array) -> Iterator[Hint]:
    if np.isnan(expected).all() and np.isfinite(found).all():
        yield Hint("NaN lost", "NaN is lost: it does not pass through", True)
    elif np.isnan(found).all() and not np.isnan(expected).any():
        way = "0 / 0, inf - inf or 0 * inf on the way, as without a shift by the maximum"
        yield Hint("NaN", f"NaN instead of a number: {way}", True)
    elif np.isinf(found).all() and np.isfinite(expected).all():
        yield Hint("overflow", "an overflow on the way", True)
    elif (found == 0).all() and (expected != 0).all():
        yield Hint("zero", "zero instead of a number: not computed, not written or flushed", True)
    elif (found == expected).all():
        yield Hint("sign of zero", "right but for the sign of a zero", True)


def _ratio(found: Array, expected: Array, error: Array, tensor: Tensor) -> Iterator[Hint]:
    """One factor between all that is wrong, or one difference."""
    usable = np.isfinite(found) & np.isfinite(expected) & (expected != 0) & np.isfinite(error)
    if not usable.all():
        return
    # Of two numbers known to within 2 E and 1 ulp, the quotient is known to within about as much, relatively.
    doubt = (2 * error + UNIT[tensor.dtype] * abs(found)) / abs(expected)
    ratios = found / expected
    low, high = (ratios - doubt).max(), (ratios + doubt).min()
    several = len(ratios) > 1 and bool(np.ptp(expected))
    for factor, meaning in _factors(tensor):
        if low <= factor <= high:
            yield Hint(meaning, f"exactly {_as_text(factor)} times what is expected: {meaning}", True)
            return
    # A single number has a ratio to any other, and a difference: that says nothing.
    if several and low <= high:
        yield Hint("ratio", f"{ratios.mean():.6g} times what is expected, everywhere", False)
    differences = found - expected
    low, high = (differences - 2 * error).max(), (differences + 2 * error).min()
    if several and low <= high:
        yield Hint("difference", f"off by {differences.mean():.6g} everywhere", False)


def _factors(tensor: Tensor) -> Iterator[tuple[float, str]]:
    """Factors that mistakes are known for, with what each may mean."""
    yield -1.0, "the sign"
    k = terms(tensor) if tensor.primitive in SUMS else 1
    if k > 1:
        yield 1 / k, "as many as there are terms, as a mean for a sum"
        yield float(k), "as many as there are terms, as a sum for a mean"
    yield 2.0, "counted twice"
    yield 0.5, "halved"
    sizes: dict[int, str] = {}
    for x in tensor.inputs:
        for axis, n in enumerate(x.shape):
            sizes.setdefault(n, f"the size of axis {axis} of an operand")
        sizes.setdefault(x.size, "the number of an operand's elements")
    sizes.setdefault(tensor.size, "the number of elements")
    for n, meaning in sizes.items():
        if n > 2:
            yield float(n), meaning
            yield 1 / n, meaning


def _as_text(factor: float) -> str:
    return f"{factor:g}" if factor >= 0.5 or factor < 0 else f"1/{round(1 / factor)}"


def _arranged(found: Array, held: Tracked) -> Iterator[Hint]:
    value, error = held
    if value.size < 2:
        return
    for name, arrange in ARRANGEMENTS.items():
        try:
            other, doubt = arrange(value), arrange(error)
        except (ValueError, np.exceptions.AxisError):
            continue  # too few axes
        if other.shape == value.shape and not wrong_elements(found, Tracked(other, doubt)).any():
            yield Hint(name, f"what is expected, {name}", False)


def _precision(judgement: Judgement) -> Iterator[Hint]:
    """The precision below the dtype's whose rounding explains the errors.

    err/E times the unit roundoff of the dtype is that of an arithmetic in which the bound would be met; an
    operand that is rounded as well as the result counts twice, and long sums stay far below their bounds.
    """
    own = UNIT[judgement.tensor.dtype]
    needed = judgement.worst * own
    for name in ("float32", "float16", "bfloat16"):
        u = UNIT[name]
        if own < u and u / 64 <= needed <= 3 * u:
            yield Hint("precision", f"the errors are those of a computation in {name}", False)
            return
