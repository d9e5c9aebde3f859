"""Rewrites of a `Function` before it reaches a backend. Every one preserves the bits of every result.

Dead code goes (a new Function holds only what its results need), equal nodes are merged, structure that does
nothing is removed, and exact operations on constants are done once. Nothing is reassociated, and x * 0 stays:
it may be NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from isograd.graph import primitives as p
from isograd.graph.dtypes import FLOATING
from isograd.graph.function import Function
from isograd.graph.reference import evaluate
from isograd.graph.tensor import Tensor, constant, rebuild, topological

# Constants are folded through operations that are defined to the bit. A transcendental function's last bit
# and the sign of the larger of two zeros belong to the backend.
_EXACT = frozenset(
    {"cast", "neg", "abs", "sign", "relu", "add", "sub", "mul", "div", "sqrt", "greater", "equal", "where"}
    | {"reshape", "transpose", "broadcast_to", "slice", "pad", "concat"}
)
_STRUCTURE = frozenset({"reshape", "transpose", "broadcast_to", "slice"})
_FOLDED_SIZE = 64


def simplify(function: Function) -> Function:
    """The same function with fewer nodes: the same bits on every backend.

    Inputs and state keep their names, also those that no result depends on.
    """
    simplified = simplify_tensors([*function.outputs.values(), *function.updates.values()])
    outputs = dict(zip(function.outputs, simplified, strict=False))
    updates = dict(zip(function.updates, simplified[len(function.outputs) :], strict=True))
    return Function(function.inputs, outputs, function.state, updates)


def simplify_tensors(tensors: list[Tensor]) -> list[Tensor]:
    """Each tensor simplified; what they share stays shared."""
    replaced: dict[int, Tensor] = {}
    unique: dict[Any, Tensor] = {}
    for tensor in topological(tensors):
        inputs = [replaced[id(x)] for x in tensor.inputs]
        rebuilt = rebuild(tensor, inputs)
        candidate = _reduced(rebuilt)
        if candidate is not rebuilt:  # it may hold a new constant that equals a known one
            candidate = rebuild(candidate, [unique.setdefault(_key(x), x) for x in candidate.inputs])
        replaced[id(tensor)] = unique.setdefault(_key(candidate), candidate)
    return [replaced[id(t)] for t in tensors]


def _key(tensor: Tensor) -> Any:
    """Equal for tensors that compute the same bits from the same operands."""
    if tensor.primitive == "variable":
        return id(tensor)
    if tensor.primitive == "constant":
        return "constant", tensor.dtype, tensor.shape, tensor.attributes["value"].tobytes()
    attributes = tuple((name, _bits(value)) for name, value in tensor.attributes.items())
    return tensor.primitive, attributes, tuple(id(x) for x in tensor.inputs)


def _bits(value: Any) -> Any:
    # Python compares 0.0 and -0.0 as equal, and NaN as unequal to itself.
    return value.hex() if isinstance(value, float) else value


def _reduced(tensor: Tensor) -> Tensor:
    if _is_exact(tensor) and tensor.size:
        folded = _folded(tensor)
        if folded is not None:
            return folded
    rule = _RULES.get(tensor.primitive)
    return rule(tensor) if rule else tensor


def _is_exact(tensor: Tensor) -> bool:
    """Whether every backend computes the same bits; a NaN as an integer is not defined."""
    if tensor.primitive == "cast" and tensor.inputs[0].dtype in FLOATING:
        return tensor.dtype in FLOATING or tensor.dtype == "bool"
    return tensor.primitive in _EXACT


def _folded(tensor: Tensor) -> Tensor | None:
    """The constant that an exact operation on constants gives; one number repeated stays a `broadcast_to`."""
    uniform = [_uniform(x) for x in tensor.inputs]
    scalars = [x for x in uniform if x is not None]
    if len(scalars) == len(uniform) and tensor.primitive not in ("pad", "concat"):
        folded = scalars[0] if tensor.primitive in _STRUCTURE else _evaluated(rebuild(tensor, scalars))
        return p.broadcast_to(folded, shape=tensor.shape) if tensor.shape else folded
    known = (x.primitive == "constant" or u is not None for x, u in zip(tensor.inputs, uniform, strict=True))
    return _evaluated(tensor) if tensor.size <= _FOLDED_SIZE and all(known) else None


def _evaluated(tensor: Tensor) -> Tensor:
    return constant(evaluate([tensor])[0])


def _uniform(tensor: Tensor) -> Tensor | None:
    """The scalar constant that fills the tensor, if that is all there is to it."""
    if tensor.primitive == "broadcast_to":
        (tensor,) = tensor.inputs
    return tensor if tensor.primitive == "constant" and tensor.shape == () else None


def _reshape(t: Tensor) -> Tensor:
    (x,) = t.inputs
    if x.primitive == "reshape":
        x = x.inputs[0]
    return x if x.shape == t.shape else p.reshape(x, shape=t.shape)


def _transpose(t: Tensor) -> Tensor:
    (x,), axes = t.inputs, t.attributes["axes"]
    if x.primitive == "transpose":
        axes = tuple(x.attributes["axes"][a] for a in axes)
        (x,) = x.inputs
    return x if axes == tuple(range(x.ndim)) else p.transpose(x, axes=axes)


def _broadcast_to(t: Tensor) -> Tensor:
    (x,) = t.inputs
    if x.primitive == "broadcast_to":
        (x,) = x.inputs
    return x if x.shape == t.shape else p.broadcast_to(x, shape=t.shape)


def _cast(t: Tensor) -> Tensor:
    return t.inputs[0] if t.inputs[0].dtype == t.dtype else t


def _same_shape(t: Tensor) -> Tensor:
    """pad by nothing, slice of everything, concat of one: the shape tells."""
    unchanged = len(t.inputs) == 1 and t.inputs[0].shape == t.shape
    return t.inputs[0] if unchanged else t


def _stop_gradient(t: Tensor) -> Tensor:
    return t.inputs[0]


def _neg(t: Tensor) -> Tensor:
    (x,) = t.inputs
    return x.inputs[0] if x.primitive == "neg" else t


def _reduce_sum(t: Tensor) -> Tensor:
    (x,) = t.inputs
    return x if not t.attributes["axes"] else t


def _mul(t: Tensor) -> Tensor:
    a, b = t.inputs
    return b if _is_one(a) else a if _is_one(b) else t


def _div(t: Tensor) -> Tensor:
    a, b = t.inputs
    return a if _is_one(b) else t


def _is_one(t: Tensor) -> bool:
    """x * 1 and x / 1 are x to the bit, for every x."""
    if t.primitive == "broadcast_to":
        (t,) = t.inputs
    return t.primitive == "constant" and t.size > 0 and bool(np.all(t.attributes["value"] == 1))


_RULES: dict[str, Callable[[Tensor], Tensor]] = {
    "reshape": _reshape,
    "transpose": _transpose,
    "broadcast_to": _broadcast_to,
    "cast": _cast,
    "pad": _same_shape,
    "slice": _same_shape,
    "concat": _same_shape,
    "stop_gradient": _stop_gradient,
    "neg": _neg,
    "reduce_sum": _reduce_sum,
    "mul": _mul,
    "div": _div,
}
