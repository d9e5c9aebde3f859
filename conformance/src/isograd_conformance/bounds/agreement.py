"""Whether arrays are what their tensors are defined to be: the verdict, and the message if they are not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from isograd.graph.tensor import Tensor
from isograd_conformance.bounds.tracking import IEEE, Arithmetic, Array, Arrays, Tracked, track

# A bound beyond this part of the largest element proves nothing about an element.
VACUOUS = 0.05


@dataclass
class Tally:
    """How many elements were compared, how many of them with a bound that proves nothing.

    Attributes
    ----------
    elements, vacuous : int
    worst : float
        The largest error as a part of the bound E, of at most 2.
    """

    elements: int = 0
    vacuous: int = 0
    worst: float = 0.0

    def add(self, found: Array, tracked: Tracked) -> None:
        """Count one array that was held to its bound."""
        value, error = tracked
        finite = np.isfinite(value)
        self.elements += value.size
        if not finite.any():
            return
        scale = float(abs(value[finite]).max())
        self.vacuous += int(np.count_nonzero(error > VACUOUS * scale))
        bounded = finite & (error > 0) & np.isfinite(error)
        if bounded.any():
            self.worst = max(self.worst, float((abs(found - value)[bounded] / error[bounded]).max()))


# What the summary at the end of a run reports.
tally = Tally()


def agree(
    found: Arrays,
    tensors: Mapping[str, Tensor],
    values: Arrays,
    arithmetic: Arithmetic = IEEE,
    errors: Arrays | None = None,
) -> dict[str, Tracked]:
    """Fail unless each array is what its tensor is defined to be, within twice the rounding bound.

    Parameters
    ----------
    found : mapping of name to ndarray
    tensors : mapping of the same names to Tensor
    values : mapping of variable name to ndarray
    arithmetic : Arithmetic, optional
    errors : mapping of variable name to ndarray, optional
        As for `track`.

    Returns
    -------
    dict of name to Tracked
        What each array was held to.

    Raises
    ------
    AssertionError
        If names, a shape or a dtype differ, or an element is too far off; the message names the array and
        shows the first such elements.
    """
    assert found.keys() == tensors.keys(), f"there are {sorted(found)}; expected {sorted(tensors)}"
    held = dict(zip(tensors, track(list(tensors.values()), values, arithmetic, errors), strict=True))
    for name, tensor in tensors.items():
        array = found[name]
        kind = array.shape, array.dtype.name
        assert kind == (tensor.shape, tensor.dtype), f"{name} is {kind}; expected {tensor!r}"
        problem = disagreement(array, held[name])
        assert problem is None, f"{name}, {tensor!r}: {problem}"
    return held


def disagreement(found: Array, tracked: Tracked) -> str | None:
    """Where an array is not within twice its bound, in words; None where it is.

    Twice, since the reference is rounded too: in float64, as much as what it judges in that dtype.
    """
    found = found.astype(np.float64)  # which holds every dtype exactly
    value, error = tracked.value.astype(np.float64), tracked.error
    with np.errstate(invalid="ignore"):
        near = abs(found - value) <= 2 * error
    same = (found == value) | (np.isnan(found) & np.isnan(value))
    right = same | (np.isfinite(value) & near) | np.isinf(error)
    with np.errstate(invalid="ignore", over="ignore"):
        tally.add(found, Tracked(value, error))
    if right.all():
        return None
    wrong = ~right
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = np.nan_to_num(abs(found - value) / error, nan=np.inf, posinf=np.inf)
    return (
        f"{np.count_nonzero(wrong)} of {found.size} elements are wrong, the first at "
        f"{np.argwhere(wrong)[:3].tolist()}: found {found[wrong][:3]}, expected {value[wrong][:3]} "
        f"+- {2 * error[wrong][:3]}; at most {ratios[wrong].max():.3g} times the bound E"
    )
