"""Whether arrays are what their tensors are defined to be: the verdict, and the message if they are not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from isograd.graph import Function
from isograd.graph.tensor import Tensor, topological
from isograd_conformance.bounds.sums import SUMS, terms
from isograd_conformance.bounds.tally import Tally, tally
from isograd_conformance.bounds.tracking import (
    IEEE,
    UNIT,
    Arithmetic,
    Array,
    Arrays,
    Tracked,
    gamma,
    likely,
    track,
)

# How many wrong elements a message shows.
_SHOWN = 3


@dataclass(frozen=True)
class Judgement:
    """What came of holding an array to its bound.

    Attributes
    ----------
    name : str
    tensor : Tensor
        What the array is defined to be.
    found : ndarray
    held : Tracked
        What it was held to.
    problem : str or None
        What is wrong, in words; None where the array agrees.
    worst : float
        The largest error as a part of the bound E; up to 2 is accepted.
    vacuous : float
        The share of elements whose bound proves nothing.
    """

    name: str
    tensor: Tensor
    found: Array
    held: Tracked
    problem: str | None
    worst: float
    vacuous: float


class DisagreementError(AssertionError):
    """An array that is not what its tensor is defined to be.

    Attributes
    ----------
    judgement : Judgement
    values : mapping of variable name to ndarray
        From which the tensor was to be computed.
    subject : object
        Whose computation it was, a `Subject`; None where nobody has said so.
    function : Function or None
        That was called, if it has more than this tensor.
    """

    def __init__(self, judgement: Judgement, values: Arrays, subject: object = None) -> None:
        super().__init__(f"{judgement.name}, {judgement.tensor!r}: {judgement.problem}")
        self.judgement = judgement
        self.values = values
        self.subject = subject
        self.function: Function | None = None


def judge(
    found: Arrays,
    tensors: Mapping[str, Tensor],
    values: Arrays,
    arithmetic: Arithmetic = IEEE,
    errors: Arrays | None = None,
    *,
    count: bool = True,
) -> list[Judgement]:
    """Hold each array to twice the rounding bound of what its tensor is defined to be.

    Parameters
    ----------
    found : mapping of name to ndarray
    tensors : mapping of the same names to Tensor
    values : mapping of variable name to ndarray
    arithmetic : Arithmetic, optional
    errors : mapping of variable name to ndarray, optional
        As for `track`.
    count : bool
        Whether the numbers belong into the `tally` of what was compared.
    """
    counter = tally if count else Tally()
    held = track(list(tensors.values()), values, arithmetic, errors)
    judgements = []
    for (name, tensor), tracked in zip(tensors.items(), held, strict=True):
        array = found[name]
        kind = array.shape, array.dtype.name
        if kind != (tensor.shape, tensor.dtype):
            problem: str | None = f"is {kind}; expected {tensor!r}"
            judgements.append(Judgement(name, tensor, array, tracked, problem, np.inf, 0.0))
            continue
        problem = disagreement(array, tracked)
        found_here = counter.add(array, tracked)
        judgements.append(
            Judgement(name, tensor, array, tracked, problem, found_here.worst, found_here.share)
        )
    counter.unlikely += _unlikely(judgements, values, arithmetic, errors)
    return judgements


def agree(
    found: Arrays,
    tensors: Mapping[str, Tensor],
    values: Arrays,
    arithmetic: Arithmetic = IEEE,
    errors: Arrays | None = None,
) -> dict[str, Tracked]:
    """Fail unless each array is what its tensor is defined to be; the parameters are those of `judge`.

    Returns
    -------
    dict of name to Tracked
        What each array was held to.

    Raises
    ------
    AssertionError
        If names differ.
    DisagreementError
        If a shape or a dtype differs, or an element is too far off; the message names the array and shows
        the first such elements.
    """
    assert found.keys() == tensors.keys(), f"there are {sorted(found)}; expected {sorted(tensors)}"
    judgements = judge(found, tensors, values, arithmetic, errors)
    for judgement in judgements:
        if judgement.problem is not None:
            raise DisagreementError(judgement, values)
    return {judgement.name: judgement.held for judgement in judgements}


def disagreement(found: Array, tracked: Tracked) -> str | None:
    """Where an array is not within twice its bound, in words; None where it is.

    Twice, since the reference is rounded too: in float64, as much as what it judges in that dtype.
    """
    wrong = wrong_elements(found, tracked)
    if not wrong.any():
        return None
    value, error = tracked.value.astype(np.float64), tracked.error
    places = [
        f"{[int(i) for i in at]}: found {found[tuple(at)]}, expected {value[tuple(at)]} "
        f"+- {2 * error[tuple(at)]:.3g}"
        for at in np.argwhere(wrong)[:_SHOWN]
    ]
    return (
        f"{np.count_nonzero(wrong)} of {found.size} elements are wrong, the worst by "
        f"{tracked.ratios(found)[wrong].max():.3g} E, where 2 E is accepted; at {'; at '.join(places)}"
    )


def wrong_elements(found: Array, tracked: Tracked) -> Array:
    """Which elements are not within twice their bounds: bool, of the shape of the array."""
    found = found.astype(np.float64)  # which holds every dtype exactly
    value, error = tracked.value.astype(np.float64), tracked.error
    with np.errstate(all="ignore"):
        near = abs(found - value) <= 2 * error
    same = (found == value) | (np.isnan(found) & np.isnan(value))
    return np.asarray(~(same | (np.isfinite(value) & near) | np.isinf(error)))


def _unlikely(
    judgements: list[Judgement], values: Arrays, arithmetic: Arithmetic, errors: Arrays | None
) -> int:
    """How many arrays agree, but are farther off than independent roundings ever take them.

    The bound of a long sum is loose, so that a fault may hide below it. No verdict: the roundings of a
    computation need not be independent. Where an error is below the smallest share that the likely bound of
    any sum has of its worst case, it is not tracked again.
    """
    share = min((_likely_share(node) for node in topological([j.tensor for j in judgements])), default=1.0)
    near = [j for j in judgements if j.problem is None and j.worst > 2 * share]
    if not near:
        return 0
    statistical = replace(arithmetic, statistical=True)
    likely_bounds = track([j.tensor for j in near], values, statistical, errors)
    return sum(
        bool(wrong_elements(judgement.found, tracked).any())
        for judgement, tracked in zip(near, likely_bounds, strict=True)
    )


def _likely_share(node: Tensor) -> float:
    if node.primitive not in SUMS:
        return 1.0
    k, u = max(terms(node), 1), UNIT[node.dtype]
    return min(1.0, likely(k, u) / gamma(k, u)) if u else 1.0
