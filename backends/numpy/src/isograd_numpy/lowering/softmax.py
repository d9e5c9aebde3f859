"""`exp`, and the softmax beside a logsumexp, for which the exponentials are there already.

The softmax, and the gradient of logsumexp, are graph: exp(x - logsumexp(x)). Where the logsumexp of the same
x has been lowered, its terms exp(x - max), divided by their sum, are the same numbers without another
exponential.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from isograd.graph import Tensor
from isograd.graph.patterns import Softmax, match_softmax
from isograd_numpy.lowering.table import lowers
from isograd_numpy.plan import Plan

Array = npt.NDArray[Any]


def absorb_softmax(plan: Plan, node: Tensor) -> None:
    """Note that a node is a softmax, and that what lies between it and the logsumexp needs no value."""
    found = match_softmax(plan, node)
    if found is not None:
        plan.notes["softmax", id(node)] = found
        plan.absorbed.update(id(inner) for inner in found.inner)


@lowers("exp")
def _exp(plan: Plan, node: Tensor) -> Array:
    found: Softmax | None = plan.notes.get(("softmax", id(node)))
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
