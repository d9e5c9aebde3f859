"""Structure: views wherever NumPy can make one, copies into fixed buffers elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from isograd.graph import Tensor
from isograd_numpy.lowering.table import lowers
from isograd_numpy.plan import Plan

Array = npt.NDArray[Any]


def _view(plan: Plan, node: Tensor, view: Array) -> Array:
    """A view is as exclusive as what it looks into, if nothing else looks there."""
    return plan.own(node, view) if plan.overwritable(node.inputs[0], node) else view


@lowers("reshape")
def _reshape(plan: Plan, node: Tensor) -> Array:
    x = plan.value(node.inputs[0])
    try:
        return _view(plan, node, np.reshape(x, node.shape, copy=False))
    except ValueError:  # the elements do not lie in the order that a view would need
        y = plan.buffer(node.shape, node.dtype)
        plan.emit(np.copyto, y.reshape(x.shape), x)
        return plan.own(node, y)


@lowers("transpose")
def _transpose(plan: Plan, node: Tensor) -> Array:
    return _view(plan, node, plan.value(node.inputs[0]).transpose(node.attributes["axes"]))


@lowers("stop_gradient")
def _stop_gradient(plan: Plan, node: Tensor) -> Array:
    return _view(plan, node, plan.value(node.inputs[0])[...])


@lowers("broadcast_to")
def _broadcast_to(plan: Plan, node: Tensor) -> Array:
    return np.broadcast_to(plan.value(node.inputs[0]), node.shape)


@lowers("slice")
def _slice(plan: Plan, node: Tensor) -> Array:
    spans = zip(*(node.attributes[name] for name in ("start", "stop", "step")), strict=True)
    return plan.value(node.inputs[0])[tuple(slice(*span) for span in spans)]


@lowers("pad")
def _pad(plan: Plan, node: Tensor) -> Array:
    # The border is written once, now: nothing overwrites this buffer, so it is not marked as exclusive.
    x, a = plan.value(node.inputs[0]), node.attributes
    y = plan.like(node, x)
    y.fill(a["value"])
    ends = [n - high for n, high in zip(node.shape, a["high"], strict=True)]
    spans = zip(a["low"], ends, (i + 1 for i in a["interior"]), strict=True)
    plan.emit(np.copyto, y[tuple(slice(*span) for span in spans)], x)
    return y


@lowers("concat")
def _concat(plan: Plan, node: Tensor) -> Array:
    axis, at = node.attributes["axis"], 0
    y = plan.like(node, plan.value(node.inputs[0]))
    for operand in node.inputs:
        piece = (slice(None),) * axis + (slice(at, at + operand.shape[axis]),)
        plan.emit(np.copyto, y[piece], plan.value(operand))
        at += operand.shape[axis]
    return plan.own(node, y)


@lowers("gather")
def _gather(plan: Plan, node: Tensor) -> Array:
    x, indices = (plan.value(operand) for operand in node.inputs)
    y = plan.buffer(node.shape, node.dtype)
    positions = _positions(plan, node.inputs[1], indices)
    if 0 in x.shape:  # no row has an element: there is nothing to take
        return y
    if x.flags.c_contiguous and x.flags.aligned:
        # Indices were checked on the host; "clip" lets NumPy write straight into the buffer.
        plan.emit(x.take, positions, 0, y, "clip")
    else:  # of such an array `take` would make a copy, of all of it, each time
        plan.emit(_copy_rows, x, positions, y)
    return plan.own(node, y)


def _copy_rows(x: Array, positions: Array, y: Array) -> None:
    y[...] = x[positions]


@lowers("scatter_add")
def _scatter_add(plan: Plan, node: Tensor) -> Array:
    updates, indices = (plan.value(operand) for operand in node.inputs)
    y = plan.buffer(node.shape, node.dtype)
    plan.emit(y.fill, 0)
    plan.emit(np.add.at, y, _positions(plan, node.inputs[1], indices), updates)
    return plan.own(node, y)


def _positions(plan: Plan, node: Tensor, indices: Array) -> Array:
    """The indices in the integer type that NumPy indexes with, converted once for all readers."""
    if indices.dtype == np.intp:
        return indices
    key = ("positions", id(node))
    if key not in plan.notes:
        plan.notes[key] = plan.buffer(indices.shape, np.intp)
        plan.emit(np.copyto, plan.notes[key], indices)
    positions: Array = plan.notes[key]
    return positions


@lowers("cast")
def _cast(plan: Plan, node: Tensor) -> Array:
    x = plan.value(node.inputs[0])
    y = plan.like(node, _partner(plan, node, x))
    if node.dtype == "bool":
        plan.emit(np.not_equal, x, 0, y)
    else:
        plan.emit(np.copyto, y, x, casting="unsafe")
    return plan.own(node, y)


def _partner(plan: Plan, node: Tensor, x: Array) -> Array:
    """What the cast value will be combined with, when that is known: its layout is the one to take."""
    for reader in plan.consumers[id(node)]:
        for operand in reader.inputs:
            known = operand is not node and operand.shape == node.shape and id(operand) in plan.values
            if known and operand.primitive not in ("broadcast_to", "constant", "iota"):
                return plan.value(operand)
    return x


@lowers("iota")
def _iota(plan: Plan, node: Tensor) -> Array:
    axis = node.attributes["axis"]
    along = np.arange(node.shape[axis]).astype(node.dtype)
    return np.broadcast_to(along.reshape([-1 if a == axis else 1 for a in range(node.ndim)]), node.shape)
