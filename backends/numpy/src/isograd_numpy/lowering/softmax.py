"""`exp`, and the softmax beside a logsumexp, for which the exponentials are there already.

The softmax, and the gradient of logsumexp, are graph: exp(x - logsumexp(x)). Where the logsumexp of the same
x has been lowered, its terms exp(x - max), divided by their sum, are the same numbers without another
exponential.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from isograd.graph import Tensor
from isograd.graph.uses import repeated_constant
from isograd_numpy.lowering.elementwise import is_zero
from isograd_numpy.lowering.reduction import keepdims
from isograd_numpy.lowering.table import lowers
from isograd_numpy.plan import Plan

Array = npt.NDArray[Any]


@dataclass
class _Softmax:
    """exp(x - s), where s is the logsumexp; guarded: s, but 0 where that is -inf."""

    logsumexp: Tensor
    guarded: bool = False
    inner: list[Tensor] = field(default_factory=list)


def absorb_softmax(plan: Plan, node: Tensor) -> None:
    """Note that a node is a softmax, and that what lies between it and the logsumexp needs no value."""
    found = _match(plan, node) if node.primitive == "exp" else None
    if found is not None:
        plan.notes["softmax", id(node)] = found
        plan.absorbed.update(id(inner) for inner in found.inner)


def _match(plan: Plan, node: Tensor) -> _Softmax | None:
    (difference,) = node.inputs
    if difference.primitive != "sub" or plan.sole_consumer(difference) is None:
        return None
    x, shift = difference.inputs
    inner, spread = [difference], shift
    while shift.primitive in ("broadcast_to", "reshape") and plan.sole_consumer(shift) is not None:
        spread = shift.inputs[0] if shift.primitive == "broadcast_to" else spread
        inner.append(shift)
        (shift,) = shift.inputs
    guarded = shift.primitive == "where" and plan.sole_consumer(shift) is not None
    if guarded:
        condition, zero, total = shift.inputs
        if not _is_minus_infinity(plan, condition, total) or not is_zero(zero):
            return None
        inner += [shift, condition]
        shift = total
    if shift.primitive != "logsumexp" or shift.inputs[0] is not x or not x.size:
        return None
    if spread.shape != keepdims(x.shape, shift.attributes["axes"]):
        return None
    return _Softmax(shift, guarded, inner)


def _is_minus_infinity(plan: Plan, condition: Tensor, total: Tensor) -> bool:
    if condition.primitive != "equal" or plan.sole_consumer(condition) is None:
        return False
    compared, constant = condition.inputs
    value = repeated_constant(constant)
    return compared is total and value is not None and bool(np.all(value == -np.inf))


@lowers("exp")
def _exp(plan: Plan, node: Tensor) -> Array:
    found: _Softmax | None = plan.notes.get(("softmax", id(node)))
    if found is None:
        x, y = plan.value(node.inputs[0]), plan.elementwise(node)
        plan.emit(np.exp, x, y)
        return y
    terms, total = plan.notes["exponentials", id(found.logsumexp)]
    y = plan.own(node, plan.like(node, terms))
    if found.guarded:  # the sum is 0 where all x are -inf, and at least 1 everywhere else
        positive = np.empty_like(total)
        plan.emit(np.maximum, total, np.asarray(np.finfo(node.dtype).tiny), out=positive)
        total = positive
    plan.emit(np.divide, terms, total, y)
    return y
