"""State updates: done in place, and where one is a step along a gradient, inside the product that makes it.

Of the linear combinations that `isograd.graph.updates` finds, a term that is a matrix product is accumulated
onto the state by `addmm_`: the gradient of a fully connected layer is never written to memory.
"""

from __future__ import annotations

import torch

from isograd.graph import Tensor
from isograd.graph.updates import Coefficient, Update
from isograd_torch.plan import Name, Plan


def accumulates(node: Tensor, name: str) -> bool:
    """Whether the node is a product that can be made on the state's memory."""
    return node.primitive == "matmul" and node.ndim == 2


def emit_update(plan: Plan, update: Update) -> Name:
    """The calls of one update on the state's own memory, whose name they return."""
    target = plan.value(update.state)
    keep = _number(plan, update.shares) if update.shares else None
    additions = update.additions
    if update.product is not None:
        coefficient, product = additions.pop(0)
        left, right = (plan.value(x) for x in product.inputs)
        plan.emit_statement(_accumulate, target, left, right, _number(plan, [coefficient]), keep)
    elif keep is None:
        plan.emit_statement(torch.Tensor.zero_, target)
    elif keep != 1.0:
        plan.emit_statement(torch.Tensor.mul_, target, keep)
    for coefficient, term in additions:
        alpha = _number(plan, [coefficient])
        plan.emit_statement(torch.Tensor.add_, target, plan.value(term), alpha=alpha)
    return target


def _accumulate(
    target: torch.Tensor, left: torch.Tensor, right: torch.Tensor, alpha: float, keep: float | None
) -> None:
    """target = alpha * left @ right + keep * target; BLAS, which skips a NaN for a factor of 0, gets none."""
    if alpha and keep:
        target.addmm_(left, right, beta=keep, alpha=alpha)
    elif keep is None:
        torch.mul(torch.mm(left, right), alpha, out=target)
    else:
        target.mul_(keep).add_(torch.mm(left, right), alpha=alpha)


def _number(plan: Plan, coefficients: list[Coefficient]) -> Name | float:
    """The sum of coefficients: a number now, or an expression of numbers that each run has."""
    split = [coefficient.split() for coefficient in coefficients]
    if not any(varying for _, varying in split):
        return sum(number for number, _ in split)
    products = [
        " * ".join([repr(number), *(plan.number(factor) for factor in varying)]) for number, varying in split
    ]
    text = " + ".join(products)
    return plan.note(("coefficient", text), lambda: plan.emit_expression(text))
