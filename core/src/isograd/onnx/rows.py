"""The proof that no example's result depends on the others of its batch, nor on their number.

An axis whose size is a `Batch` of t has example r // t at its place r. Every primitive is looked up here for
the axes of its operands along which it combines, selects or counts elements: a batch axis must be none of
them. Where a reshape leaves as many elements before the batch axis as there were, examples stay whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod
from typing import TYPE_CHECKING

from isograd.errors import UnsupportedError
from isograd.graph import PRIMITIVES

if TYPE_CHECKING:
    from isograd.onnx.operations import Operation

# Of each operand in turn, the axes along which its elements do not stay apart.
Axes = tuple[Iterable[int], ...]


def _slice(op: Operation) -> Axes:
    x, a = op.inputs[0], op.attributes
    whole = zip(a["start"], a["stop"], a["step"], x.shape, strict=True)
    return ([axis for axis, part in enumerate(whole) if part != (0, part[3], 1, part[3])],)


def _pad(op: Operation) -> Axes:
    amounts = zip(*(op.attributes[name] for name in ("low", "high", "interior")), strict=True)
    return ([axis for axis, padded in enumerate(amounts) if any(padded)],)


def _reduced(op: Operation) -> Axes:
    return (op.attributes["axes"],)


def _convolution(op: Operation) -> Axes:
    return (1, 2, 3), range(4)


def _planes(op: Operation) -> Axes:
    return (2, 3), (2, 3)


COMBINED: dict[str, Callable[[Operation], Axes]] = {
    "slice": _slice,
    "pad": _pad,
    "concat": lambda op: tuple((op.attributes["axis"],) for _ in op.inputs),
    "gather": lambda op: ((0,), range(op.inputs[1].ndim)),
    "scatter_add": lambda op: (range(op.inputs[1].ndim), range(op.inputs[1].ndim)),
    "reduce_sum": _reduced,
    "reduce_max": _reduced,
    "logsumexp": _reduced,
    "argmax": lambda op: ((op.attributes["axis"],),),
    "matmul": lambda op: ((op.inputs[0].ndim - 1,), (op.inputs[1].ndim - 2,)),
    "conv2d": _convolution,
    "conv2d_dx": _convolution,
    "conv2d_dw": lambda op: (range(4), range(4)),
    **dict.fromkeys(
        ("sum_pool2d", "sum_pool2d_t", "max_pool2d", "max_pool2d_index", "pool_gather2d", "unpool2d"), _planes
    ),
}
# What has no operands, keeps every element in its place, or only moves whole axes.
APART = {"variable", "constant", "iota", "reshape", "transpose", "broadcast_to", "cast", "stop_gradient"}
APART |= {name for name, row in PRIMITIVES.items() if row.group in ("unary", "binary", "select")}


def check_rows(op: Operation) -> None:
    """Refuse an operation by which an example could depend on others.

    Raises
    ------
    UnsupportedError
        Naming the owner, the primitive and the axis.
    """
    axis = op.batch_axis
    if sum(not isinstance(size, int) for size in op.shape) > 1:
        raise UnsupportedError(f"{op}: two axes of its result depend on the number of rows{_REFUSED}")
    if op.primitive == "iota" and axis == op.attributes["axis"]:
        raise UnsupportedError(f"{op} numbers the rows{_REFUSED}")
    if op.primitive == "reshape" and _before(op) != _before(op.inputs[0]):
        raise UnsupportedError(f"{op} mixes the elements of several rows{_REFUSED}")
    if op.primitive in APART:
        return
    combined = COMBINED[op.primitive](op)
    for operand, axes in zip(op.inputs, combined, strict=False):
        if operand.batch_axis is not None and operand.batch_axis in axes:
            raise UnsupportedError(f"{op} works along axis {operand.batch_axis}, that of the rows{_REFUSED}")


_REFUSED = "; an exported network gives each example its result whatever others are in the batch"


def _before(op: Operation) -> int | None:
    """How many elements there are before the batch axis; None without one."""
    axis = op.batch_axis
    return None if axis is None else prod(size for size in op.shape[:axis] if isinstance(size, int))
