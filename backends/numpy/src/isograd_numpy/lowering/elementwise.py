"""Elementwise primitives: ufuncs that write into fixed buffers.

`where` is done on the bits: multiplied as integers by 0 or 1, every float comes out exactly or as +0, NaN and
infinities too, at a fraction of the time of a masked copy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from isograd.graph import Tensor
from isograd.graph.patterns import is_zero
from isograd_numpy.lowering.table import lowers
from isograd_numpy.plan import Plan, axis_order

Array = npt.NDArray[Any]

_UNARY: dict[str, np.ufunc] = {
    "neg": np.negative,
    "log": np.log,
    "sqrt": np.sqrt,
    "tanh": np.tanh,
    "abs": np.absolute,
    "sign": np.sign,
}
_BINARY: dict[str, np.ufunc] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "greater": np.greater,
    "equal": np.equal,
}
_INTEGERS: dict[int, Any] = {1: np.dtype("int8"), 4: np.dtype("int32"), 8: np.dtype("int64")}


@lowers(*_UNARY)
def _unary(plan: Plan, node: Tensor) -> Array:
    x, y = plan.value(node.inputs[0]), plan.elementwise(node)
    plan.emit(_UNARY[node.primitive], x, y)
    return y


@lowers(*_BINARY)
def _binary(plan: Plan, node: Tensor) -> Array:
    (a, b), y = (_scalar_or_whole(plan, x) for x in node.inputs), plan.elementwise(node)
    plan.emit(_BINARY[node.primitive], a, b, y)
    return y


def _scalar_or_whole(plan: Plan, x: Tensor) -> Array:
    """A repeated scalar as itself: NumPy goes through the other operand in one run then."""
    return plan.value(x.inputs[0] if x.primitive == "broadcast_to" and x.inputs[0].shape == () else x)


@lowers("maximum", "minimum")
def _extremum(plan: Plan, node: Tensor) -> Array:
    y = plan.elementwise(node)
    a, b = (_written_out(plan, x, y) for x in node.inputs)
    plan.emit(np.maximum if node.primitive == "maximum" else np.minimum, a, b, out=y)
    return y


def _written_out(plan: Plan, x: Tensor, model: Array) -> Array:
    """A repeated constant in full: on whole arrays NumPy's maximum is several times as fast."""
    if x.primitive == "broadcast_to" and x.inputs[0].primitive == "constant" and x.inputs[0].shape == ():
        return _filled(plan, model, plan.value(x.inputs[0]))
    return plan.value(x)


def _filled(plan: Plan, model: Array, value: Array) -> Array:
    key = ("filled", model.shape, model.dtype, axis_order(model), value.tobytes())
    if key not in plan.notes:
        whole = plan.buffer(model.shape, model.dtype, axis_order(model))
        whole.fill(value)
        plan.notes[key] = whole
    filled: Array = plan.notes[key]
    return filled


@lowers("relu")
def _relu(plan: Plan, node: Tensor) -> Array:
    x, y = plan.value(node.inputs[0]), plan.elementwise(node)
    plan.emit(np.maximum, x, _filled(plan, y, np.zeros((), node.dtype)), out=y)  # a NaN propagates
    return y


@lowers("sigmoid")
def _sigmoid(plan: Plan, node: Tensor) -> Array:
    """e / (1 + e) with e = exp(min(x, bound)): no overflow above, full relative accuracy below."""
    x, y = plan.value(node.inputs[0]), plan.elementwise(node)
    e = plan.like(node, y)
    bound = np.asarray(np.log(np.finfo(node.dtype).max) - 1, node.dtype)  # there sigmoid rounds to 1
    plan.emit(np.minimum, x, _filled(plan, e, bound), out=e)
    plan.emit(np.exp, e, e)
    plan.emit(np.add, e, np.asarray(1, node.dtype), y)
    plan.emit(np.divide, e, y, y)
    return y


@lowers("softplus")
def _softplus(plan: Plan, node: Tensor) -> Array:
    """max(x, 0) + log1p(exp(-|x|))."""
    x = plan.value(node.inputs[0])
    tail, y = plan.like(node, x), plan.elementwise(node)
    plan.emit(np.absolute, x, tail)
    plan.emit(np.negative, tail, tail)
    plan.emit(np.exp, tail, tail)
    plan.emit(np.log1p, tail, tail)
    plan.emit(np.maximum, x, _filled(plan, tail, np.zeros((), node.dtype)), out=y)
    plan.emit(np.add, y, tail, y)
    return y


@lowers("pow")
def _pow(plan: Plan, node: Tensor) -> Array:
    exponent = node.attributes["exponent"]
    x, y = plan.value(node.inputs[0]), plan.elementwise(node)
    if exponent == 2:
        plan.emit(np.multiply, x, x, y)
    elif exponent == 0.5:
        # NumPy takes the square root, where IEEE 754's power of -inf is inf and that of -0 is 0.
        lowest = plan.buffer(x.shape, np.bool_, axis_order(x))
        plan.emit(np.equal, x, -np.inf, lowest)
        plan.emit(np.sqrt, x, y)
        plan.emit(np.add, y, 0.0, y)
        plan.emit(np.copyto, y, np.inf, where=lowest)
    else:
        plan.emit(np.power, x, np.asarray(exponent, node.dtype), y)
    return y


@lowers("where")
def _where(plan: Plan, node: Tensor) -> Array:
    condition, a, b = node.inputs
    integer = _INTEGERS[np.dtype(node.dtype).itemsize]
    if is_zero(b):
        return _masked(plan, node, a, _bits(plan, condition, integer, inverted=False), integer)
    if is_zero(a):
        return _masked(plan, node, b, _bits(plan, condition, integer, inverted=True), integer)
    # b ^ ((a ^ b) & -c): a where the bit c is 1, b where it is 0.
    left, right = (plan.value(x) for x in (a, b))
    model = left if a.primitive != "broadcast_to" else right
    y = plan.own(node, plan.like(node, model))
    bits, difference = y.view(integer), plan.like(node, model).view(integer)
    chosen = _bits(plan, condition, integer, inverted=False)
    plan.emit(np.copyto, y, left)
    plan.emit(np.copyto, difference.view(node.dtype), right)
    plan.emit(np.bitwise_xor, bits, difference, difference)
    plan.emit(np.multiply, difference, chosen, difference)
    plan.emit(np.copyto, y, right)
    plan.emit(np.bitwise_xor, bits, difference, bits)
    return y


def _masked(plan: Plan, node: Tensor, kept: Tensor, mask: Array, integer: Any) -> Array:
    x = plan.value(kept)
    if plan.overwritable(kept, node):
        y = plan.own(node, x)
    else:
        y = plan.own(node, plan.like(node, mask if kept.primitive == "broadcast_to" else x))
    plan.emit(np.multiply, x.view(integer), mask, y.view(integer))
    return y


def _bits(plan: Plan, condition: Tensor, integer: Any, *, inverted: bool) -> Array:
    """The condition as integers 0 and 1, made once for all readers of one width."""
    key = ("bits", id(condition), integer, inverted)
    if key not in plan.notes:
        c = plan.value(condition)
        bits = plan.buffer(c.shape, integer, axis_order(c))
        plan.emit(np.copyto, bits, c)
        if inverted:
            plan.emit(np.subtract, np.asarray(1, integer), bits, bits)
        plan.notes[key] = bits
    made: Array = plan.notes[key]
    return made
