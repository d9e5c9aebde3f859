"""Matrix products and convolutions; ONNX has isograd's layouts, NCHW and OIHW, and its unflipped kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from isograd.onnx.graph import OnnxGraph
from isograd.onnx.lowering.table import lowers
from isograd.onnx.operations import Operation, static


@lowers("matmul", to="MatMul")
def _matmul(graph: OnnxGraph, op: Operation) -> str:
    return graph.node("MatMul", *graph.values(op))


@lowers("conv2d", to="Conv")
def _conv2d(graph: OnnxGraph, op: Operation) -> str:
    return graph.node("Conv", *graph.values(op), **_geometry(op))


@lowers("conv2d_dx", to="ConvTranspose Pad")
def _conv2d_dx(graph: OnnxGraph, op: Operation) -> str:
    name = graph.node("ConvTranspose", *graph.values(op), **_geometry(op))
    g, w = op.inputs
    return pad_to(graph, name, op, g, static(w.shape[2:]), op.attributes["dilation"])


def pad_to(
    graph: OnnxGraph, name: str, op: Operation, g: Operation, window: Sequence[int], dilation: Sequence[int]
) -> str:
    """A transposed convolution of g, padded to the operation's size.

    Behind the last whole window the image has pixels that met no filter.
    """
    covered = [
        (count - 1) * stride + reach * (size - 1) + 1
        for count, stride, reach, size in zip(
            static(g.shape[2:]), op.attributes["stride"], dilation, window, strict=True
        )
    ]
    after = [size - found for size, found in zip(op.attributes["input_size"], covered, strict=True)]
    if not any(after):
        return name
    return graph.node("Pad", name, graph.constant([0] * 6 + after, "int64"))


def _geometry(op: Operation) -> dict[str, Any]:
    a = op.attributes
    return {
        "kernel_shape": static(op.inputs[1].shape[2:]),
        "strides": a["stride"],
        "dilations": a["dilation"],
        "group": a["groups"],
    }
