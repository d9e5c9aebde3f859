"""Argument checks that the shape rules share; each error names the primitive, the operand and what came."""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.graph.tensor import Shape, Tensor


def tensor(
    name: str, operand: str, x: Any, dtypes: Collection[str] | None = None, ndim: int | None = None
) -> None:
    """Refuse what is not a `Tensor`, or has another dtype or number of axes than the primitive takes."""
    if not isinstance(x, Tensor):
        raise ArgumentTypeError(f"{name}: {operand} is a {type(x).__name__}; expected a Tensor")
    if dtypes is not None and x.dtype not in dtypes:
        raise ArgumentTypeError(f"{name}: {operand} is {x.dtype}; expected {' or '.join(sorted(dtypes))}")
    if ndim is not None and x.ndim != ndim:
        raise ShapeError(f"{name}: {operand} has shape {list(x.shape)}; expected {ndim} axes")


def same(name: str, a: Tensor, b: Tensor, dtypes: Collection[str] | None = None) -> None:
    """Refuse two operands that differ in shape or dtype: below the operators nothing is promoted."""
    tensor(name, "the first operand", a, dtypes)
    tensor(name, "the second operand", b, dtypes)
    if a.shape != b.shape:
        raise ShapeError(
            f"{name}: shapes {list(a.shape)} and {list(b.shape)} differ; the operands need the same shape"
        )
    same_dtype(name, a, b)


def same_dtype(name: str, *operands: Tensor) -> None:
    """Refuse operands of several dtypes."""
    kinds = [x.dtype for x in operands]
    if len(set(kinds)) > 1:
        raise ArgumentTypeError(f"{name}: dtypes {', '.join(kinds)} differ; cast one of the operands")


def _index(name: str, argument: str, value: Any) -> int:
    """`value`, of any integer type, as an int."""
    try:
        if not isinstance(value, bool):
            return operator.index(value)
    except TypeError:
        pass  # said below, as for a bool
    raise ArgumentTypeError(f"{name}: {argument} is {value!r}; expected a whole number")


def axis(name: str, value: int, ndim: int) -> int:
    """`value` counted from the front."""
    number = _index(name, "axis", value)
    if not -ndim <= number < ndim:
        raise ArgumentError(f"{name}: axis is {number}, but the operand has {ndim} axes")
    return number % ndim


def axes(name: str, value: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """Axes counted from the front, sorted, without repetition; None stands for all of them."""
    if value is None:
        return tuple(range(ndim))
    given = tuple(axis(name, v, ndim) for v in (value if isinstance(value, Iterable) else (value,)))
    if len(set(given)) != len(given):
        raise ArgumentError(f"{name}: axes {list(given)} name one axis twice")
    return tuple(sorted(given))


def whole(name: str, argument: str, value: Any, least: int) -> int:
    """`value` as an int of at least `least`."""
    number = _index(name, argument, value)
    if number < least:
        raise ArgumentError(f"{name}: {argument} is {number}; expected at least {least}")
    return number


def pair(name: str, argument: str, value: int | Sequence[int], least: int = 1) -> tuple[int, int]:
    """(vertical, horizontal); one number stands for both."""
    if isinstance(value, Sequence):
        if len(value) != 2:
            raise ArgumentError(f"{name}: {argument} is {value!r}; expected one number or two")
        return whole(name, argument, value[0], least), whole(name, argument, value[1], least)
    number = whole(name, argument, value, least)
    return number, number


def per_axis(name: str, argument: str, value: Sequence[int], ndim: int, least: int) -> tuple[int, ...]:
    """One whole number for each axis."""
    if len(value) != ndim:
        raise ShapeError(f"{name}: {argument} is {list(value)}; expected {ndim} numbers, one for each axis")
    return tuple(whole(name, argument, v, least) for v in value)


def window_count(size: int, window: int, stride: int, dilation: int = 1) -> int:
    """How many windows lie wholly inside `size` elements; zero or less when not one does."""
    extent = dilation * (window - 1) + 1
    return (size - extent) // stride + 1 if size >= extent else 0


def windows(
    name: str, x: Shape, window: Shape, stride: tuple[int, int], dilation: tuple[int, int] = (1, 1)
) -> tuple[int, int]:
    """Output height and width of VALID windows over the two last axes of a shape."""
    height, width = (
        window_count(n, k, s, d) for n, k, s, d in zip(x[-2:], window[-2:], stride, dilation, strict=True)
    )
    if height < 1 or width < 1:
        dilated = "" if dilation == (1, 1) else f" with dilation {dilation[0]}x{dilation[1]}"
        raise ShapeError(
            f"{name}: a {window[-2]}x{window[-1]} window{dilated} does not fit into an image "
            f"of {x[-2]}x{x[-1]} pixels"
        )
    return height, width
