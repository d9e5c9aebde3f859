"""`logsumexp`, and `exp`, which beside a logsumexp of the same numbers is a softmax.

Its exponentials exp(x - max) and their sum are there already: the softmax is their quotient.
"""

from __future__ import annotations

from typing import Any

import torch

from isograd.graph import Tensor
from isograd.graph.patterns import Softmax
from isograd_torch.lowering.table import lowers
from isograd_torch.native import NATIVE
from isograd_torch.plan import TORCH_DTYPES, Name, Plan


@lowers("logsumexp")
def _logsumexp(plan: Plan, node: Tensor) -> Name:
    (x,), axes = node.inputs, node.attributes["axes"]
    if not axes:
        return plan.emit(torch.clone, plan.value(x))
    if plan.native:
        return plan.emit(NATIVE["logsumexp"], plan.value(x), axes)
    if not any(found.logsumexp is node for found in plan.softmaxes.values()):
        return plan.emit(torch.logsumexp, plan.value(x), axes)
    result, terms, total = plan.emit_several(
        3, _with_terms, plan.value(x), axes, torch.finfo(TORCH_DTYPES[node.dtype]).max
    )
    plan.note(("exponentials", id(node)), lambda: terms)
    plan.note(("sum of exponentials", id(node)), lambda: total)
    return result


def _with_terms(
    x: torch.Tensor, axes: Any, largest: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The logsumexp, the terms exp(x - max) and their sum, which keeps its axes."""
    # An infinity is not subtracted from itself: its stand-in leads to the same result.
    shift = torch.amax(x, axes, keepdim=True).clamp_(-largest, largest)
    terms = torch.sub(x, shift).exp_()
    total = torch.sum(terms, axes, keepdim=True)
    return torch.log(total).add_(shift).squeeze(axes), terms, total


@lowers("exp")
def _exp(plan: Plan, node: Tensor) -> Name:
    found: Softmax | None = plan.softmaxes.get(id(node))
    if found is None:
        return plan.emit(torch.exp, plan.value(node.inputs[0]))
    plan.value(found.logsumexp)
    terms = plan.noted(("exponentials", id(found.logsumexp)))
    total = plan.noted(("sum of exponentials", id(found.logsumexp)))
    if found.guarded:  # the sum is 0 where all x are -inf, and at least 1 everywhere else
        total = plan.emit(torch.clamp_min, total, torch.finfo(TORCH_DTYPES[node.dtype]).tiny)
    return plan.emit(torch.div, terms, total)
