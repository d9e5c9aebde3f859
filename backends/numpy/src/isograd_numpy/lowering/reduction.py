"""Reductions. Sums over a block of memory are products with ones: BLAS is several times as fast as `sum`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from isograd.graph import FLOATING, Tensor
from isograd_numpy.lowering.table import lower, lowers
from isograd_numpy.plan import Plan, axis_order, flat

Array = npt.NDArray[Any]


@lowers("reduce_sum")
def _reduce_sum(plan: Plan, node: Tensor) -> Array:
    (x,) = node.inputs
    y = plan.own(node, plan.buffer(node.shape, node.dtype))
    if id(x) in plan.absorbed:
        elements = flat(plan.value(x.inputs[0]))
        if elements is not None:
            plan.emit(_dot_scalar, elements, elements, y)
            return y
        plan.values[id(x)] = lower(plan, x)
    emit_sum(plan, plan.value(x), node.attributes["axes"], y)
    return y


def emit_sum(plan: Plan, x: Array, axes: tuple[int, ...], y: Array) -> None:
    """y = x summed over axes."""
    block = _block(x, axes) if x.dtype.name in FLOATING and x.size else None
    if block is None or not y.flags.c_contiguous:
        plan.emit(np.add.reduce, x, axes, None, y)
        return
    matrix, kept_first = block
    ones = _ones(plan, matrix.shape[1 if kept_first else 0], x.dtype)
    out = y.reshape(-1)
    if out.size == 1:
        plan.emit(_dot_scalar, matrix.reshape(-1), _ones(plan, matrix.size, x.dtype), y)
    elif kept_first:
        plan.emit(np.dot, matrix, ones, out)
    else:
        plan.emit(np.dot, ones, matrix, out)


def _dot_scalar(a: Array, b: Array, out: Array) -> None:
    out[...] = a.dot(b)


def _block(x: Array, axes: tuple[int, ...]) -> tuple[Array, bool] | None:
    """x as a matrix, kept elements by reduced ones or the other way round, if it lies like that."""
    order = axis_order(x)
    straight = x.transpose(order)
    if not straight.flags.c_contiguous:
        return None
    large = [axis for axis in order if x.shape[axis] > 1]
    reduced = [axis in axes for axis in large]
    kept = [axis for axis in large if axis not in axes]
    if kept != sorted(kept):  # the result would come out with its axes in another order
        return None
    split = len(kept)
    rows = int(np.prod([x.shape[axis] for axis in kept], dtype=np.int64))
    if not any(reduced[:split]):
        return straight.reshape(rows, -1), True
    if not any(reduced[len(reduced) - split :]):
        return straight.reshape(-1, rows), False
    return None


def _ones(plan: Plan, size: int, dtype: Any) -> Array:
    key = ("ones", size, np.dtype(dtype))
    if key not in plan.notes:
        plan.notes[key] = np.ones(size, dtype)
    ones: Array = plan.notes[key]
    return ones


@lowers("reduce_max")
def _reduce_max(plan: Plan, node: Tensor) -> Array:
    x, y = plan.value(node.inputs[0]), plan.buffer(node.shape, node.dtype)
    plan.emit(np.maximum.reduce, x, node.attributes["axes"], None, y)
    return plan.own(node, y)


@lowers("argmax")
def _argmax(plan: Plan, node: Tensor) -> Array:
    x, axis = plan.value(node.inputs[0]), node.attributes["axis"]
    positions, y = plan.buffer(node.shape, np.intp), plan.buffer(node.shape, "int32")
    plan.emit(np.argmax, x, axis, positions)
    plan.emit(np.copyto, y, positions, casting="same_kind")
    return plan.own(node, y)


@lowers("logsumexp")
def _logsumexp(plan: Plan, node: Tensor) -> Array:
    """The maximum, brought into the finite range, is the shift: the infinities then come out right."""
    x, axes = plan.value(node.inputs[0]), node.attributes["axes"]
    y = plan.buffer(node.shape, node.dtype)
    if x.size == 0:
        y.fill(-np.inf)
        return y
    largest = np.asarray(np.finfo(node.dtype).max)
    shift, total = plan.buffer(node.shape, node.dtype), plan.buffer(node.shape, node.dtype)
    terms = plan.like(node.inputs[0], x)
    spread = keepdims(x.shape, axes)
    plan.emit(np.maximum.reduce, x, axes, None, shift)
    plan.emit(np.minimum, shift, largest, out=shift)
    plan.emit(np.maximum, shift, -largest, out=shift)
    plan.emit(np.subtract, x, shift.reshape(spread), terms)
    plan.emit(np.exp, terms, terms)
    emit_sum(plan, terms, axes, total)
    plan.emit(np.log, total, y)
    plan.emit(np.add, y, shift, y)
    plan.notes["exponentials", id(node)] = terms, total.reshape(spread)
    return plan.own(node, y)


def keepdims(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape with the reduced axes left in place, of size 1."""
    return tuple(1 if axis in axes else size for axis, size in enumerate(shape))
