"""Groups of nodes that a backend may compute in one go, recognised in a simplified Function.

Each is written out of primitives by the derived functions and the gradient rules, and means the same thing in
every backend; whether to use it is the backend's business.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from isograd.graph.dtypes import FLOATING
from isograd.graph.tensor import Array, Tensor
from isograd.graph.uses import Uses


def repeated_constant(node: Tensor) -> Array | None:
    """The values of a constant, or of one that is broadcast; None for anything else."""
    if node.primitive == "broadcast_to":
        (node,) = node.inputs
    return node.attributes["value"] if node.primitive == "constant" else None


def is_zero(node: Tensor) -> bool:
    """A constant +0 everywhere; -0 has a bit set."""
    value = repeated_constant(node)
    return value is not None and not any(value.tobytes())


def is_sum_of_squares(uses: Uses, square: Tensor) -> bool:
    """Whether x * x is made only to be summed up, as in an L2 term: a scalar product of x with itself."""
    reader = uses.sole_consumer(square)
    return (
        square.primitive == "mul"
        and square.inputs[0] is square.inputs[1]
        and square.dtype in FLOATING
        and reader is not None
        and reader.primitive == "reduce_sum"
        and reader.shape == ()
    )


@dataclass
class Softmax:
    """exp(x - s), with s the logsumexp of x: the softmax, and the gradient of that logsumexp.

    So it is exp(x - max) divided by the sum that the logsumexp has taken the logarithm of.

    Attributes
    ----------
    logsumexp : Tensor
    guarded : bool
        True: where s is -inf, 0 is subtracted in its place, and the result is 0.
    inner : list of Tensor
        Nodes between the logsumexp and the result that nothing else reads.
    """

    logsumexp: Tensor
    guarded: bool = False
    inner: list[Tensor] = field(default_factory=list)


def match_softmax(uses: Uses, node: Tensor) -> Softmax | None:
    """The node as a softmax, if it is one and what lies between is read by nothing else."""
    if node.primitive != "exp":
        return None
    (difference,) = node.inputs
    if difference.primitive != "sub" or uses.sole_consumer(difference) is None:
        return None
    x, shift = difference.inputs
    inner, spread = [difference], shift
    while shift.primitive in ("broadcast_to", "reshape") and uses.sole_consumer(shift) is not None:
        spread = shift.inputs[0] if shift.primitive == "broadcast_to" else spread
        inner.append(shift)
        (shift,) = shift.inputs
    guarded = shift.primitive == "where" and uses.sole_consumer(shift) is not None
    if guarded:
        condition, zero, total = shift.inputs
        if not _is_minus_infinity(uses, condition, total) or not is_zero(zero):
            return None
        inner += [shift, condition]
        shift = total
    if shift.primitive != "logsumexp" or shift.inputs[0] is not x or not x.size:
        return None
    axes = shift.attributes["axes"]
    if spread.shape != tuple(1 if axis in axes else n for axis, n in enumerate(x.shape)):
        return None
    return Softmax(shift, guarded, inner)


def _is_minus_infinity(uses: Uses, condition: Tensor, total: Tensor) -> bool:
    if condition.primitive != "equal" or uses.sole_consumer(condition) is None:
        return False
    compared, constant = condition.inputs
    value = repeated_constant(constant)
    return compared is total and value is not None and bool(np.all(value == -np.inf))
