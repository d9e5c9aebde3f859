"""Primitives that move elements."""

from __future__ import annotations

import numpy as np

from isograd.onnx.graph import OnnxGraph, Value
from isograd.onnx.lowering.table import lowers
from isograd.onnx.operations import Operation

# Beyond every size: a slice that ends there has all the rest of an axis.
_END = np.iinfo(np.int64).max


@lowers("reshape", to="Reshape")
def _reshape(graph: OnnxGraph, op: Operation) -> str:
    return graph.reshape(graph.value(op.inputs[0]), op.shape)


@lowers("transpose", to="Transpose")
def _transpose(graph: OnnxGraph, op: Operation) -> str:
    if not op.ndim:  # without axes to name, the attribute would have no type
        return graph.value(op.inputs[0])
    return graph.node("Transpose", *graph.values(op), perm=op.attributes["axes"])


@lowers("broadcast_to", to="Expand")
def _broadcast_to(graph: OnnxGraph, op: Operation) -> Value:
    return graph.spread(op.inputs[0])


@lowers("slice", to="Slice")
def _slice(graph: OnnxGraph, op: Operation) -> str:
    if not op.ndim:  # ONNX Runtime slices no scalar
        return graph.value(op.inputs[0])
    a = op.attributes
    stop = [size if isinstance(size, int) else _END for size in a["stop"]]
    parts = (graph.constant(part, "int64") for part in (a["start"], stop, range(op.ndim), a["step"]))
    return graph.node("Slice", *graph.values(op), *parts)


@lowers("pad", to="Pad Reshape Slice")
def _pad(graph: OnnxGraph, op: Operation) -> str:
    (name,), a = graph.values(op), op.attributes
    value = graph.constant(a["value"], op.dtype)
    shape = list(op.inputs[0].shape)
    for axis, interior in enumerate(a["interior"]):
        size = shape[axis]
        if not interior or not isinstance(size, int) or not size:
            continue
        # An axis of its own for what comes after each element; what comes after the last goes again.
        name = graph.reshape(name, (*shape[: axis + 1], 1, *shape[axis + 1 :]))
        after = [0] * (2 * len(shape) + 2)
        after[len(shape) + 1 + axis + 1] = interior
        name = graph.node("Pad", name, graph.constant(after, "int64"), value)
        shape[axis] = size * (interior + 1)
        name = graph.reshape(name, tuple(shape))
        shape[axis] = size * (interior + 1) - interior
        ends = (graph.constant([number], "int64") for number in (0, shape[axis], axis))
        name = graph.node("Slice", name, *ends)
    if not any((*a["low"], *a["high"])):
        return name
    return graph.node("Pad", name, graph.constant([*a["low"], *a["high"]], "int64"), value)


@lowers("concat", to="Concat")
def _concat(graph: OnnxGraph, op: Operation) -> str:
    return graph.node("Concat", *graph.values(op), axis=op.attributes["axis"])


@lowers("gather", to="Gather")
def _gather(graph: OnnxGraph, op: Operation) -> str:
    return graph.node("Gather", *graph.values(op), axis=0)


@lowers("scatter_add", to="Expand Cast Unsqueeze ScatterND")
def _scatter_add(graph: OnnxGraph, op: Operation) -> str:
    updates, indices = graph.values(op)
    zeros = graph.node("Expand", graph.constant(0, op.dtype), graph.sizes(op.shape))
    rows = graph.node("Cast", indices, to=graph.element_type("int64"))
    rows = graph.node("Unsqueeze", rows, graph.constant([-1], "int64"))
    return graph.node("ScatterND", zeros, rows, updates, reduction="add")


@lowers("iota", to="Expand")
def _iota(graph: OnnxGraph, op: Operation) -> Value:
    axis = op.attributes["axis"]
    size = op.shape[axis]
    assert isinstance(size, int)
    shape = (size, *(1,) * (op.ndim - axis - 1))
    return Value(graph.constant(np.arange(size).reshape(shape), op.dtype), shape)


@lowers("stop_gradient", to="")
def _stop_gradient(graph: OnnxGraph, op: Operation) -> Value:
    return graph.spread(op.inputs[0])
