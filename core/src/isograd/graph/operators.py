"""What stands between NumPy's habits and the strict primitives: broadcasting, promotion, slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.graph import primitives
from isograd.graph.dtypes import FLOATING, promote
from isograd.graph.primitives import checks
from isograd.graph.tensor import PRIMITIVES, Shape, Tensor, TensorLike, check_shape, constant


def add(a: TensorLike, b: TensorLike) -> Tensor:
    """a + b, broadcast and promoted."""
    return _binary("add", a, b)


def sub(a: TensorLike, b: TensorLike) -> Tensor:
    """a - b, broadcast and promoted."""
    return _binary("sub", a, b)


def mul(a: TensorLike, b: TensorLike) -> Tensor:
    """a * b, broadcast and promoted."""
    return _binary("mul", a, b)


def div(a: TensorLike, b: TensorLike) -> Tensor:
    """a / b, broadcast and promoted."""
    return _binary("div", a, b)


def maximum(a: TensorLike, b: TensorLike) -> Tensor:
    """The larger of two, broadcast and promoted."""
    return _binary("maximum", a, b)


def minimum(a: TensorLike, b: TensorLike) -> Tensor:
    """The smaller of two, broadcast and promoted."""
    return _binary("minimum", a, b)


def greater(a: TensorLike, b: TensorLike) -> Tensor:
    """a > b, broadcast and promoted."""
    return _binary("greater", a, b)


def equal(a: TensorLike, b: TensorLike) -> Tensor:
    """a == b, broadcast and promoted. (The operator == compares tensors by identity.)"""
    return _binary("equal", a, b)


def where(condition: Tensor, a: TensorLike, b: TensorLike) -> Tensor:
    """a where the condition holds, else b; all three broadcast, the branches promoted."""
    checks.tensor("where", "condition", condition)
    left, right = _same_dtype("where", a, b)
    shape = broadcast_shapes("where", condition.shape, left.shape, right.shape)
    return primitives.where(*(broadcast_to(t, shape) for t in (condition, left, right)))


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """a @ b; batch axes are broadcast."""
    if not isinstance(b, Tensor):
        raise ArgumentTypeError(f"matmul: the second operand is a {type(b).__name__}; expected a Tensor")
    left, right = _same_dtype("matmul", a, b)
    if left.ndim >= 2 and right.ndim >= 2 and left.shape[:-2] != right.shape[:-2]:
        batch = broadcast_shapes("matmul", left.shape[:-2], right.shape[:-2])
        left = broadcast_to(left, batch + left.shape[-2:])
        right = broadcast_to(right, batch + right.shape[-2:])
    return primitives.matmul(left, right)


def broadcast_to(x: Tensor, shape: Shape) -> Tensor:
    """x itself where it has the shape already."""
    return x if x.shape == tuple(shape) else primitives.broadcast_to(x, shape=shape)


def cast(x: Tensor, dtype: str) -> Tensor:
    """x itself where it has the dtype already."""
    return x if x.dtype == dtype else primitives.cast(x, dtype=dtype)


def reshape(x: Tensor, shape: Sequence[int]) -> Tensor:
    """x in another shape, of which one size may be -1."""
    sizes = list(shape)
    if sizes.count(-1) == 1:
        rest = int(np.prod([n for n in sizes if n != -1], dtype=np.int64))
        if rest <= 0 or x.size % rest:
            raise ShapeError(f"reshape: {list(x.shape)} has {x.size} elements and does not fit into {sizes}")
        sizes[sizes.index(-1)] = x.size // rest
    return x if x.shape == tuple(sizes) else primitives.reshape(x, shape=check_shape(sizes))


def reduce(name: str, x: Tensor, axes: int | Sequence[int] | None, keepdims: bool) -> Tensor:
    """A reduction that may leave the reduced axes in place with size 1."""
    reduced = PRIMITIVES[name].build(x, axes=axes)
    if not keepdims:
        return reduced
    removed = reduced.attributes["axes"]
    return reshape(reduced, tuple(1 if a in removed else n for a, n in enumerate(x.shape)))


def getitem(x: Tensor, index: Any) -> Tensor:
    """Slices with a positive step and whole numbers, as in NumPy; anything else is an error."""
    items = list(index if isinstance(index, tuple) else (index,))
    ellipses = [i for i, item in enumerate(items) if item is Ellipsis]
    if ellipses:
        at = ellipses[0]
        items[at : at + 1] = [slice(None)] * (x.ndim - len(items) + 1)
    if len(items) > x.ndim:
        raise ShapeError(f"index has {len(items)} parts, but {x!r} has {x.ndim} axes")
    items += [slice(None)] * (x.ndim - len(items))
    start, stop, step, kept = [], [], [], []
    for axis, (item, size) in enumerate(zip(items, x.shape, strict=True)):
        if isinstance(item, slice):
            first, last, stride = item.indices(size)
            if stride < 1:
                raise ArgumentError(f"index {item} has a negative step; only positive steps are supported")
            last = max(first, last)
            kept.append(axis)
        elif isinstance(item, int) and not isinstance(item, bool):
            if not -size <= item < size:
                raise ArgumentError(f"index {item} is out of range for axis {axis} of size {size}")
            first, last, stride = item % size, item % size + 1, 1
        else:
            raise ArgumentTypeError(
                f"index {item!r} is neither a slice nor a whole number; `gather` takes tensors"
            )
        start.append(first)
        stop.append(last)
        step.append(stride)
    sliced = primitives.slice_(x, start=start, stop=stop, step=step)
    return reshape(sliced, tuple(sliced.shape[a] for a in kept))


def broadcast_shapes(name: str, *shapes: Shape) -> Shape:
    """The shape that all broadcast to.

    Raises
    ------
    ShapeError
        If they do not; the message gives every shape.
    """
    try:
        return tuple(np.broadcast_shapes(*shapes))
    except ValueError:
        listed = " and ".join(str(list(s)) for s in shapes)
        raise ShapeError(f"{name}: shapes {listed} do not broadcast together") from None


def _binary(name: str, a: TensorLike, b: TensorLike) -> Tensor:
    left, right = _same_dtype(name, a, b)
    shape = broadcast_shapes(name, left.shape, right.shape)
    return PRIMITIVES[name].build(broadcast_to(left, shape), broadcast_to(right, shape))


def _same_dtype(name: str, a: TensorLike, b: TensorLike) -> tuple[Tensor, Tensor]:
    left, right = _tensor(name, a, b), _tensor(name, b, a)
    dtype = promote(left.dtype, right.dtype)
    return cast(left, dtype), cast(right, dtype)


def _tensor(name: str, x: TensorLike, beside: TensorLike) -> Tensor:
    """x as a tensor; a Python number takes the dtype of the tensor beside it."""
    if isinstance(x, Tensor):
        return x
    if isinstance(x, bool | int | float) and isinstance(beside, Tensor) and not isinstance(x, np.generic):
        if isinstance(x, float) and beside.dtype not in FLOATING:
            raise ArgumentTypeError(
                f"{name}: the number {x!r} meets a tensor of {beside.dtype}; "
                "cast the tensor to a floating dtype first"
            )
        return constant(x, beside.dtype)
    if isinstance(x, bool | int | float | np.ndarray | np.generic):
        return constant(x)
    raise ArgumentTypeError(
        f"{name}: an operand is a {type(x).__name__}; expected a Tensor, an array or a number"
    )
