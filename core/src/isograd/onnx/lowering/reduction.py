"""Reductions. Without axes there is nothing to reduce, where ONNX would reduce all."""

from __future__ import annotations

from isograd.onnx.graph import OnnxGraph, Value
from isograd.onnx.lowering.table import lowers
from isograd.onnx.operations import Operation

_OPERATORS = {"reduce_sum": "ReduceSum", "reduce_max": "ReduceMax", "logsumexp": "ReduceLogSumExp"}


def _enter(primitive: str, operator: str) -> None:
    @lowers(primitive, to=operator)
    def _reduction(graph: OnnxGraph, op: Operation) -> str | Value:
        if not op.attributes["axes"]:
            return graph.spread(op.inputs[0])
        axes = graph.constant(op.attributes["axes"], "int64")
        return graph.node(operator, *graph.values(op), axes, keepdims=0)


for _primitive, _operator in _OPERATORS.items():
    _enter(_primitive, _operator)


@lowers("argmax", to="ArgMax Cast")
def _argmax(graph: OnnxGraph, op: Operation) -> str:
    first = graph.node("ArgMax", *graph.values(op), axis=op.attributes["axis"], keepdims=0)
    return graph.node("Cast", first, to=graph.element_type(op.dtype))
