"""State updates: done in place, and where one is a step along a gradient, inside the product that makes it.

A new value such as ``w - eta * (x^T d + c * w)`` is read as a linear combination: coefficients, which are
numbers by the time they are needed, times terms. The state is scaled by its own coefficient, and the term
that is a matrix product or the weight gradient of a convolution is accumulated onto it by BLAS: no gradient
is written to memory and read again. All updates are simultaneous: one that reads a state comes before the
one that overwrites it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from isograd.graph import FLOATING, Tensor
from isograd_numpy import blas
from isograd_numpy.lowering.contraction import geometry_of, image_memory, patches_of
from isograd_numpy.plan import BATCH_INNERMOST, Plan

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Coefficient:
    """A sign times a product of scalar tensors."""

    sign: float
    factors: tuple[Tensor, ...]


@dataclass
class Update:
    """new = sum of coefficient * term, to be done in place on the state's buffer."""

    name: str
    state: Tensor
    root: Tensor
    terms: list[tuple[Coefficient, Tensor]]
    inner: list[Tensor]  # nodes that have no value of their own

    @property
    def product(self) -> Tensor | None:
        """The term that is made on the state itself."""
        return next((t for _, t in self.terms if t in self.inner), None)


def find_updates(plan: Plan) -> list[Update]:
    """The updates that can be done in place, so ordered that each reads what it needs before it is gone."""
    roots = [id(t) for t in plan.function.updates.values()]
    found = []
    for name, root in plan.function.updates.items():
        if root.dtype in FLOATING and root.inputs and roots.count(id(root)) == 1 and root.size:
            update = Update(name, plan.function.state[name], root, [], [root])
            _expand(plan, root, Coefficient(1.0, ()), update, is_root=True)
            if update.inner != [root] or len(update.terms) > 1:
                found.append(update)
    while True:
        usable = [u for u in found if _usable(plan, u, found)]
        if len(usable) < len(found):
            found = usable
            continue
        ordered = _in_order(plan, found)
        if ordered is not None:
            return ordered
        found.pop()  # states that exchange values: one of them is computed aside and copied at the end


def _usable(plan: Plan, update: Update, updates: list[Update]) -> bool:
    """Whether only updates read the new value, and the old one is not needed while it is overwritten."""
    inner = {id(node) for other in updates for node in other.inner}
    read_later = all(id(reader) in inner for reader in plan.consumers[id(update.root)])
    return read_later and not any(plan.viewed_state(x) is update.state for x in _operands(update))


def _operands(update: Update) -> list[Tensor]:
    """What is read while the state is being overwritten."""
    product = update.product
    terms = [t for _, t in update.terms if t is not update.state and t is not product]
    factors = [factor for c, _ in update.terms for factor in c.factors]
    return [*terms, *factors, *(product.inputs if product is not None else ())]


def _in_order(plan: Plan, updates: list[Update]) -> list[Update] | None:
    """Readers of a state before its overwriter, makers of a value before its readers; None for a ring."""
    waiting, ordered = list(updates), []
    while waiting:
        ready = next((u for u in waiting if not _blocked(plan, u, waiting)), None)
        if ready is None:
            return None
        ordered.append(ready)
        waiting.remove(ready)
    return ordered


def _blocked(plan: Plan, update: Update, waiting: list[Update]) -> bool:
    others = [other for other in waiting if other is not update]
    reads = [plan.viewed_state(x) for other in others for x in _operands(other)]
    made_later = {id(other.root) for other in others}
    return update.state in reads or any(id(x) in made_later for x in _operands(update))


def _expand(
    plan: Plan, node: Tensor, coefficient: Coefficient, update: Update, *, is_root: bool = False
) -> None:
    """Add the node to the update's terms, taken apart as far as nobody else needs its parts."""
    if not is_root and (plan.sole_consumer(node) is None or node.shape != update.root.shape):
        update.terms.append((coefficient, node))
        return
    scale = _scale(node)
    if scale is not None:
        scalar, scaled = scale
        factor = Coefficient(coefficient.sign, (*coefficient.factors, scalar))
        if not is_root:
            update.inner.append(node)
        _expand(plan, scaled, factor, update)
    elif node.primitive in ("add", "sub", "neg"):
        if not is_root:
            update.inner.append(node)
        signs = {"add": (1.0, 1.0), "sub": (1.0, -1.0), "neg": (-1.0,)}[node.primitive]
        for sign, operand in zip(signs, node.inputs, strict=True):
            _expand(plan, operand, Coefficient(sign * coefficient.sign, coefficient.factors), update)
    else:
        if not is_root and update.product is None and _accumulates(plan, node, update):
            update.inner.append(node)
        update.terms.append((coefficient, node))


def _accumulates(plan: Plan, node: Tensor, update: Update) -> bool:
    """Whether the node is a product that can be made on the state's buffer, as that is laid out."""
    if node.primitive == "conv2d_dw":
        return plan.state[update.name].transpose(geometry_of(node).filter_order).flags.c_contiguous
    return node.primitive == "matmul" and node.ndim == 2


def _scale(node: Tensor) -> tuple[Tensor, Tensor] | None:
    """(scalar, tensor) of a product with a broadcast scalar."""
    if node.primitive == "mul":
        for repeated, other in (node.inputs, node.inputs[::-1]):
            if repeated.primitive == "broadcast_to" and repeated.inputs[0].shape == ():
                return repeated.inputs[0], other
    return None


def emit_update(plan: Plan, update: Update) -> None:
    """The calls of one update; its terms have been lowered, all but the product."""
    target = plan.state[update.name]
    shares = [c for c, term in update.terms if term is update.state]
    keep = _number(plan, shares) if shares else None
    rest = [(c, term) for c, term in update.terms if term is not update.state]
    product = update.product
    if product is not None:
        coefficient = next(c for c, term in rest if term is product)
        _emit_product(plan, product, target, _number(plan, [coefficient]), keep)
        rest = [(c, term) for c, term in rest if term is not product]
    elif not (isinstance(keep, _Fixed) and keep.value == 1):
        plan.emit(_scaled, target, keep)
    for coefficient, term in rest:
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
    parts = []
    for coefficient in coefficients:
        sign, varying = coefficient.sign, []
        for factor in coefficient.factors:
            if factor.primitive == "constant":
                sign *= float(factor.attributes["value"])
            else:
                varying.append(plan.value(factor))
        parts.append((sign, varying))
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
