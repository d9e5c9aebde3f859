"""Pooling over whole windows, which is ONNX's without padding."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from isograd.onnx.graph import OnnxGraph
from isograd.onnx.lowering.contraction import pad_to
from isograd.onnx.lowering.table import lowers
from isograd.onnx.operations import Batch, Operation, Sizes, static


@lowers("sum_pool2d", to="AveragePool Mul")
def _sum_pool2d(graph: OnnxGraph, op: Operation) -> str:
    mean = graph.node("AveragePool", *graph.values(op), **_geometry(op))
    return graph.node("Mul", mean, graph.constant(prod(op.attributes["window"]), op.dtype))


@lowers("sum_pool2d_t", to="Reshape ConvTranspose Pad")
def _sum_pool2d_t(graph: OnnxGraph, op: Operation) -> str:
    """The transpose of a convolution by ones, of each plane by itself."""
    (g,), (name,), a = op.inputs, graph.values(op), op.attributes
    ones = graph.constant(np.ones((1, 1, *a["window"])), op.dtype)
    planes = graph.reshape(name, (Batch(1), 1, *g.shape[2:]))
    spread = graph.node("ConvTranspose", planes, ones, **_geometry(op))
    return graph.reshape(pad_to(graph, spread, op, g, a["window"], (1, 1)), op.shape)


@lowers("max_pool2d", to="MaxPool")
def _max_pool2d(graph: OnnxGraph, op: Operation) -> str:
    return graph.node("MaxPool", *graph.values(op), **_geometry(op))


@lowers("max_pool2d_index", to="MaxPool Mod Cast")
def _max_pool2d_index(graph: OnnxGraph, op: Operation) -> str:
    """ONNX counts through all planes, isograd within each."""
    everywhere = graph.node("MaxPool", *graph.values(op), output=1, **_geometry(op))
    plane = graph.constant(_elements(op.inputs[0]), "int64")
    return graph.node("Cast", graph.node("Mod", everywhere, plane), to=graph.element_type(op.dtype))


@lowers("pool_gather2d", to="Reshape Cast GatherElements")
def _pool_gather2d(graph: OnnxGraph, op: Operation) -> str:
    x, index = (_planes(graph, name, t) for name, t in zip(graph.values(op), op.inputs, strict=True))
    index = graph.node("Cast", index, to=graph.element_type("int64"))
    return graph.reshape(graph.node("GatherElements", x, index, axis=2), op.shape)


@lowers("unpool2d", to="Reshape Cast Expand ScatterElements")
def _unpool2d(graph: OnnxGraph, op: Operation) -> str:
    g, index = (_planes(graph, name, t) for name, t in zip(graph.values(op), op.inputs, strict=True))
    index = graph.node("Cast", index, to=graph.element_type("int64"))
    shape = (*op.shape[:2], _elements(op))
    zeros = graph.node("Expand", graph.constant(0, op.dtype), graph.sizes(shape))
    added = graph.node("ScatterElements", zeros, index, g, axis=2, reduction="add")
    return graph.reshape(added, op.shape)


def _geometry(op: Operation) -> dict[str, Any]:
    return {"kernel_shape": op.attributes["window"], "strides": op.attributes["stride"]}


def _elements(op: Operation) -> int:
    """Of one plane."""
    return prod(static(op.shape[2:]))


def _planes(graph: OnnxGraph, name: str, op: Operation) -> str:
    """Each plane as one axis: (batch, channels, elements)."""
    shape: Sizes = (*op.shape[:2], _elements(op))
    return graph.reshape(name, shape)
