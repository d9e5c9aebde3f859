"""Primitives that move elements without computing with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.graph.dtypes import ARITHMETIC, ORDERED, as_dtype
from isograd.graph.primitives import checks
from isograd.graph.tensor import Application, Scalar, Tensor, check_shape, constant, primitive


@primitive("structure")
def reshape(x: Tensor, *, shape: Sequence[int]) -> Application:
    """The elements of x in row-major order, in another shape of the same size."""
    checks.tensor("reshape", "x", x)
    sizes = check_shape(shape)
    if int(np.prod(sizes, dtype=np.int64)) != x.size:
        raise ShapeError(
            f"reshape: {list(x.shape)} has {x.size} elements and does not fit into {list(sizes)}"
        )
    return Application((x,), sizes, x.dtype, {"shape": sizes})


@primitive("structure")
def transpose(x: Tensor, *, axes: Sequence[int]) -> Application:
    """Axes reordered: axis i of the result is axis axes[i] of x."""
    checks.tensor("transpose", "x", x)
    order = tuple(checks.axis("transpose", a, x.ndim) for a in axes)
    if sorted(order) != list(range(x.ndim)):
        raise ArgumentError(f"transpose: axes are {list(axes)}; expected each of {x.ndim} axes once")
    return Application((x,), tuple(x.shape[a] for a in order), x.dtype, {"axes": order})


@primitive("structure")
def broadcast_to(x: Tensor, *, shape: Sequence[int]) -> Application:
    """Axes of size 1 repeated, and new axes put in front, until x has the shape (NumPy's broadcasting)."""
    checks.tensor("broadcast_to", "x", x)
    sizes = check_shape(shape)
    fits = len(sizes) >= x.ndim and all(
        a in (1, b) for a, b in zip(x.shape, sizes[len(sizes) - x.ndim :], strict=True)
    )
    if not fits:
        raise ShapeError(f"broadcast_to: {list(x.shape)} can not be broadcast to {list(sizes)}")
    return Application((x,), sizes, x.dtype, {"shape": sizes})


@primitive("structure")
def slice_(x: Tensor, *, start: Sequence[int], stop: Sequence[int], step: Sequence[int]) -> Application:
    """Elements start, start + step, ... below stop along each axis; 0 <= start <= stop <= size, step >= 1."""
    checks.tensor("slice", "x", x)
    starts = checks.per_axis("slice", "start", start, x.ndim, 0)
    stops = checks.per_axis("slice", "stop", stop, x.ndim, 0)
    steps = checks.per_axis("slice", "step", step, x.ndim, 1)
    if any(not a <= b <= n for a, b, n in zip(starts, stops, x.shape, strict=True)):
        raise ShapeError(
            f"slice: start {list(starts)} and stop {list(stops)} do not lie in order within {list(x.shape)}"
        )
    shape = tuple(-(-(b - a) // s) for a, b, s in zip(starts, stops, steps, strict=True))
    return Application((x,), shape, x.dtype, {"start": starts, "stop": stops, "step": steps})


@primitive("structure")
def pad(
    x: Tensor, *, low: Sequence[int], high: Sequence[int], interior: Sequence[int], value: Scalar = 0
) -> Application:
    """`value` put before (low), after (high) and between the elements (interior, so many each time)."""
    checks.tensor("pad", "x", x)
    before = checks.per_axis("pad", "low", low, x.ndim, 0)
    after = checks.per_axis("pad", "high", high, x.ndim, 0)
    between = checks.per_axis("pad", "interior", interior, x.ndim, 0)
    shape = tuple(
        n + a + b + i * max(n - 1, 0) for n, a, b, i in zip(x.shape, before, after, between, strict=True)
    )
    attributes = {
        "low": before,
        "high": after,
        "interior": between,
        "value": constant(value, x.dtype).attributes["value"].item(),
    }
    return Application((x,), shape, x.dtype, attributes)


@primitive("structure")
def concat(*xs: Tensor, axis: int) -> Application:
    """The operands one after another along an axis; all other axes agree."""
    if not xs:
        raise ArgumentError("concat: no operand came; expected at least one")
    for i, x in enumerate(xs):
        checks.tensor("concat", f"operand {i}", x)
    checks.same_dtype("concat", *xs)
    at = checks.axis("concat", axis, xs[0].ndim)
    rests = {x.shape[:at] + x.shape[at + 1 :] for x in xs}
    if len(rests) > 1 or len({x.ndim for x in xs}) > 1:
        shapes = ", ".join(str(list(x.shape)) for x in xs)
        raise ShapeError(f"concat: shapes {shapes} differ in more than axis {at}")
    shape = (*xs[0].shape[:at], sum(x.shape[at] for x in xs), *xs[0].shape[at + 1 :])
    return Application(xs, shape, xs[0].dtype, {"axis": at})


@primitive("structure")
def gather(x: Tensor, indices: Tensor) -> Application:
    """x[indices]: rows of x (axis 0) in the order that the int32 indices name; 0 <= index < x.shape[0]."""
    checks.tensor("gather", "x", x)
    checks.tensor("gather", "indices", indices, {"int32"})
    if x.ndim < 1:
        raise ShapeError("gather: x is a scalar and has no rows")
    return Application((x, indices), indices.shape + x.shape[1:], x.dtype)


@primitive("structure")
def scatter_add(updates: Tensor, indices: Tensor, *, size: int) -> Application:
    """Zeros of `size` rows, to which each row of updates is added at its index; repeated indices add up."""
    checks.tensor("scatter_add", "updates", updates, ORDERED)
    checks.tensor("scatter_add", "indices", indices, {"int32"})
    rows = checks.whole("scatter_add", "size", size, 0)
    if updates.shape[: indices.ndim] != indices.shape:
        raise ShapeError(
            f"scatter_add: updates {list(updates.shape)} do not begin with the shape of indices, "
            f"{list(indices.shape)}"
        )
    return Application(
        (updates, indices), (rows, *updates.shape[indices.ndim :]), updates.dtype, {"size": rows}
    )


@primitive("structure")
def cast(x: Tensor, *, dtype: str) -> Application:
    """Another dtype: floating point rounds to nearest even, to an integer truncates; to bool is x != 0.

    What NaN or a number beyond the range of an integer dtype becomes is not defined.
    """
    checks.tensor("cast", "x", x)
    kind = as_dtype(dtype)
    return Application((x,), x.shape, kind, {"dtype": kind})


@primitive("structure")
def iota(*, shape: Sequence[int], axis: int, dtype: str = "int32") -> Application:
    """0, 1, 2, ... along one axis, the same along all others."""
    sizes = check_shape(shape)
    kind = as_dtype(dtype)
    if kind not in ARITHMETIC:
        raise ArgumentTypeError(f"iota: dtype is {kind}; expected {' or '.join(sorted(ARITHMETIC))}")
    return Application(
        (), sizes, kind, {"shape": sizes, "axis": checks.axis("iota", axis, len(sizes)), "dtype": kind}
    )


@primitive("structure")
def stop_gradient(x: Tensor) -> Application:
    """x itself, through which no gradient flows."""
    checks.tensor("stop_gradient", "x", x)
    return Application((x,), x.shape, x.dtype)
