"""State updates: done in place, and where one is a step along a gradient, inside the product that makes it.

Of the linear combinations that `isograd.graph.updates` finds, the term that is a matrix product or the weight
gradient of a convolution is accumulated onto the state by BLAS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from isograd.graph import Tensor
from isograd.graph.updates import Coefficient, Update
from isograd_numpy import blas
from isograd_numpy.lowering.contraction import geometry_of, image_memory, patches_of
from isograd_numpy.plan import BATCH_INNERMOST, Plan

Array = npt.NDArray[Any]


def accumulates(plan: Plan, node: Tensor, name: str) -> bool:
    """Whether the node is a product that can be made on the state's buffer, as that is laid out."""
    if node.primitive == "conv2d_dw":
        return plan.state[name].transpose(geometry_of(node).filter_order).flags.c_contiguous
    return node.primitive == "matmul" and node.ndim == 2


def emit_update(plan: Plan, update: Update) -> None:
    """The calls of one update; its terms have been lowered, all but the product."""
    target = plan.state[update.name]
    keep = _number(plan, update.shares) if update.shares else None
    additions = update.additions
    if update.product is not None:
        coefficient, product = additions.pop(0)
        _emit_product(plan, product, target, _number(plan, [coefficient]), keep)
    elif not (isinstance(keep, _Fixed) and keep.value == 1):
        plan.emit(_scaled, target, keep)
    for coefficient, term in additions:
        _emit_addition(plan, target, plan.value(term), _number(plan, [coefficient]))
    plan.values[id(update.root)] = target


class _Fixed:
    """A coefficient known when the plan is made."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __call__(self) -> float:
        return self.value


class _Varying:
    """A sign, or fixed factor, times one scalar of the plan."""

    def __init__(self, sign: float, scalar: Array) -> None:
        self.sign = sign
        self.scalar = scalar

    def __call__(self) -> float:
        return self.sign * float(self.scalar)


def _number(plan: Plan, coefficients: list[Coefficient]) -> Callable[[], float]:
    """The sum of coefficients, as a function to be called in each step."""
    split = [coefficient.split() for coefficient in coefficients]
    parts = [(sign, [plan.value(factor) for factor in varying]) for sign, varying in split]
    if not any(varying for _, varying in parts):
        return _Fixed(sum(sign for sign, _ in parts))
    if len(parts) == 1 and len(parts[0][1]) == 1:
        return _Varying(parts[0][0], parts[0][1][0])

    def number() -> float:
        total = 0.0
        for sign, varying in parts:
            for scalar in varying:
                sign *= float(scalar)
            total += sign
        return total

    return number


def _scaled(target: Array, keep: Callable[[], float] | None) -> None:
    """The part of the old value in the new one; with None it has none, not even its NaN."""
    if keep is None:
        target.fill(0)
    else:
        np.multiply(target, keep(), target)


def _emit_addition(plan: Plan, target: Array, term: Array, coefficient: Callable[[], float]) -> None:
    aside = np.empty_like(target)
    if isinstance(coefficient, _Fixed) and coefficient.value in (1.0, -1.0):
        plan.emit(np.add if coefficient.value == 1 else np.subtract, target, term, target)
        return
    if isinstance(coefficient, _Varying) and coefficient.sign in (1.0, -1.0):
        plan.emit(np.multiply, term, coefficient.scalar, aside)
        plan.emit(np.add if coefficient.sign == 1 else np.subtract, target, aside, target)
        return

    def add() -> None:
        np.multiply(term, coefficient(), aside)
        np.add(target, aside, target)

    plan.emit(add)


def _emit_product(
    plan: Plan, product: Tensor, target: Array, alpha: Callable[[], float], keep: Callable[[], float] | None
) -> None:
    for left, right, out in _matrices(plan, product, target):
        plan.keep(left, right, out)
        plan.emit(_accumulate, blas.prepare(left, right, out), left, right, out, alpha, keep)


def _accumulate(
    run: Callable[[float, float], None] | None,
    left: Array,
    right: Array,
    out: Array,
    alpha: Callable[[], float],
    keep: Callable[[], float] | None,
) -> None:
    """out = alpha * left @ right + keep * out; not by BLAS where a factor is 0, for which it skips a NaN."""
    factor, share = alpha(), 0.0 if keep is None else keep()
    if run is not None and factor != 0 and (share != 0 or keep is None):
        run(factor, share)
    else:
        _scaled(out, keep)
        np.add(out, np.matmul(left, right) * factor, out)


def _matrices(plan: Plan, product: Tensor, target: Array) -> Iterator[tuple[Array, Array, Array]]:
    """The products that make up one: a matrix product is its own, a weight gradient has one a filter row."""
    if product.primitive == "matmul":
        yield plan.value(product.inputs[0]), plan.value(product.inputs[1]), target
        return
    x, g = product.inputs
    geometry = geometry_of(product)
    output = image_memory(plan.laid_out(g, BATCH_INNERMOST))
    patches = patches_of(plan, x, geometry)
    for w, p, y, _ in geometry.products(target, patches, output):
        yield y, p.T, w
