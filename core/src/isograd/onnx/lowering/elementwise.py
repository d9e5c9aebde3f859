"""Elementwise primitives: ONNX broadcasts their operands, so that these are taken as they are.

ONNX Runtime's Sigmoid, and its Softplus in double precision, are right to an absolute error alone: of a small
result no digit may be. They are written out of operators whose relative error is small.
"""

from __future__ import annotations

from collections.abc import Callable

from isograd.onnx.graph import OnnxGraph, Value, broadcast
from isograd.onnx.lowering.table import lowers
from isograd.onnx.operations import Operation

_OPERATORS = {
    "neg": "Neg",
    "exp": "Exp",
    "log": "Log",
    "sqrt": "Sqrt",
    "tanh": "Tanh",
    "relu": "Relu",
    "abs": "Abs",
    "sign": "Sign",
    "add": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "div": "Div",
    "maximum": "Max",
    "minimum": "Min",
    "greater": "Greater",
    "equal": "Equal",
}


def _enter(primitive: str, operator: str) -> None:
    @lowers(primitive, to=operator)
    def _elementwise(graph: OnnxGraph, op: Operation) -> Value:
        return _apply(graph, op, lambda *names: graph.node(operator, *names))


for _primitive, _operator in _OPERATORS.items():
    _enter(_primitive, _operator)


def _apply(graph: OnnxGraph, op: Operation, function: Callable[..., str]) -> Value:
    """A function of the operands' elements; its result is no larger than they are together."""
    operands = [graph.spread(x) for x in op.inputs]
    return Value(function(*(x.name for x in operands)), broadcast([x.shape for x in operands]))


@lowers("cast", to="Cast")
def _cast(graph: OnnxGraph, op: Operation) -> Value:
    return _apply(graph, op, lambda x: graph.node("Cast", x, to=graph.element_type(op.dtype)))


@lowers("pow", to="Pow")
def _pow(graph: OnnxGraph, op: Operation) -> Value:
    exponent = graph.constant(op.attributes["exponent"], op.dtype)
    return _apply(graph, op, lambda x: graph.node("Pow", x, exponent))


@lowers("sigmoid", to="Neg Exp Add Div")
def _sigmoid(graph: OnnxGraph, op: Operation) -> Value:
    """1 / (1 + exp(-x)): where the exponential is beyond the range the quotient is 0."""
    one = graph.constant(1, op.dtype)

    def sigmoid(x: str) -> str:
        exponential = graph.node("Exp", graph.node("Neg", x))
        return graph.node("Div", one, graph.node("Add", one, exponential))

    return _apply(graph, op, sigmoid)


@lowers("softplus", to="Softplus Max Abs Neg Exp Add Sub Log Mul Div Equal Where")
def _softplus(graph: OnnxGraph, op: Operation) -> Value:
    if op.dtype == "float32":
        return _apply(graph, op, lambda x: graph.node("Softplus", x))
    return _apply(graph, op, lambda x: _stable_softplus(graph, x, op.dtype))


def _stable_softplus(graph: OnnxGraph, x: str, dtype: str) -> str:
    """max(x, 0) + log(1 + t), with t = exp(-|x|).

    The logarithm is t * log(w) / (w - 1), or t where w = 1 + t is 1 (Goldberg, "What every computer scientist
    should know about floating-point arithmetic", 1991, theorem 4).
    """
    zero, one = graph.constant(0, dtype), graph.constant(1, dtype)
    t = graph.node("Exp", graph.node("Neg", graph.node("Abs", x)))
    w = graph.node("Add", one, t)
    quotient = graph.node("Div", graph.node("Mul", t, graph.node("Log", w)), graph.node("Sub", w, one))
    logarithm = graph.node("Where", graph.node("Equal", w, one), t, quotient)
    return graph.node("Add", graph.node("Max", x, zero), logarithm)


@lowers("where", to="Where And Not Or")
def _where(graph: OnnxGraph, op: Operation) -> Value:
    if op.dtype == "bool":  # for which ONNX Runtime has no Where
        return _apply(graph, op, lambda c, a, b: _choice(graph, c, a, b))
    return _apply(graph, op, lambda *names: graph.node("Where", *names))


def _choice(graph: OnnxGraph, condition: str, a: str, b: str) -> str:
    taken = graph.node("And", condition, a)
    return graph.node("Or", taken, graph.node("And", graph.node("Not", condition), b))
