"""Faults in primitives that move elements or make them."""

from __future__ import annotations

from typing import Any

import numpy as np

from isograd import graph as G
from isograd.graph import Tensor
from isograd.graph.dtypes import FLOATING
from isograd_conformance.faults.catalogue.primitives import built, computed, written
from isograd_conformance.faults.fault import Fault
from isograd_conformance.faults.witness import counted, ramp, value
from isograd_conformance.subject import HostArray


def _doubled_start(x: Tensor, *, start: Any, stop: Any, step: Any) -> Tensor:
    """A slice whose step counts from the array's first element."""
    moved = [a - a % s if (a - a % s) >= 0 else a for a, s in zip(start, step, strict=True)]
    ends = [b - (a - m) for a, b, m in zip(start, stop, moved, strict=True)]
    return G.slice_(x, start=moved, stop=ends, step=step)


def _swapped_pad(x: Tensor, *, low: Any, high: Any, **rest: Any) -> Tensor:
    return G.pad(x, low=high, high=low, **rest)


def _zero_pad(x: Tensor, *, value: Any, **rest: Any) -> Tensor:
    return G.pad(x, value=0, **rest)


def _outer_pad_zero(x: Tensor, *, low: Any, high: Any, interior: Any, value: Any) -> Tensor:
    """Only the border gets the value; between the elements there is 0."""
    spread = G.pad(x, low=[0] * x.ndim, high=[0] * x.ndim, interior=interior, value=0)
    return G.pad(spread, low=low, high=high, interior=[0] * x.ndim, value=value)


def _permuted_back(x: Tensor, *, axes: Any) -> Tensor:
    """The inverse permutation, where that has the same shape."""
    turned = G.transpose(x, axes=sorted(range(len(axes)), key=axes.__getitem__))
    right = G.transpose(x, axes=axes)
    return turned if turned.shape == right.shape else right


def _rows_reversed(*xs: Tensor, axis: int) -> Tensor:
    return G.concat(*reversed(xs), axis=axis)


def _in_column_order(x: HostArray, *, shape: Any) -> HostArray:
    return np.asarray(x).reshape(shape, order="F")


def _without_duplicates(updates: HostArray, indices: HostArray, *, size: int) -> HostArray:
    y = np.zeros((size, *updates.shape[indices.ndim :]), updates.dtype)
    y[indices] = updates
    return y


def _rounded_cast(x: HostArray, *, dtype: str) -> HostArray:
    """To whole numbers by rounding, where truncation is meant."""
    whole = x.dtype.name in FLOATING and dtype in ("int32", "uint8")
    return (np.round(x) if whole else x).astype(dtype)


def _signed_bytes(x: HostArray, *, dtype: str) -> HostArray:
    return (x.astype("int8") if x.dtype == np.uint8 and dtype != "bool" else x).astype(dtype)


FAULTS: tuple[Fault, ...] = (
    # Structure
    computed(
        "reshape in column order",
        "reshape",
        _in_column_order,
        value(built("reshape", shape=(3, 2)), ramp(2, 3)),
    ),
    written(
        "transpose by the inverse permutation",
        "transpose",
        _permuted_back,
        value(built("transpose", axes=(1, 2, 0)), ramp(2, 2, 2)),
    ),
    computed(
        "broadcast along the wrong axis of a square",
        "broadcast_to",
        lambda x, *, shape: np.broadcast_to(
            x.reshape(-1, 1) if x.ndim == 1 and shape[-2:] == (x.size, x.size) else x, shape
        ),
        value(built("broadcast_to", shape=(3, 3)), ramp(3)),
    ),
    written(
        "slice counts its step from the first element",
        "slice",
        _doubled_start,
        value(built("slice", start=[1], stop=[6], step=[2]), ramp(6)),
    ),
    written(
        "padding on the wrong side",
        "pad",
        _swapped_pad,
        value(built("pad", low=[1], high=[0], interior=[0], value=0), ramp(3)),
    ),
    written(
        "padding with 0 whatever the value",
        "pad",
        _zero_pad,
        value(built("pad", low=[1], high=[0], interior=[0], value=-0.5), ramp(3)),
    ),
    written(
        "interior padding with 0 whatever the value",
        "pad",
        _outer_pad_zero,
        value(built("pad", low=[1], high=[0], interior=[1], value=-0.5), ramp(3)),
    ),
    written("concat in reverse", "concat", _rows_reversed, value(built("concat", axis=0), ramp(2), ramp(3))),
    written(
        "gather one row further",
        "gather",
        lambda x, i: G.gather(G.concat(x[1:], x[:1], axis=0) if x.shape[0] > 1 else x, i),
        value(built("gather"), ramp(3, 2), counted(0, 2)),
        "int32",
    ),
    computed(
        "duplicate indices lost in scatter_add",
        "scatter_add",
        _without_duplicates,
        value(built("scatter_add", size=3), ramp(3, 2), counted(1, 1, 0)),
        "int32",
    ),
    computed(
        "cast to whole numbers rounds",
        "cast",
        _rounded_cast,
        value(built("cast", dtype="int32"), [0.75, 2.5, 1.25]),
        "int32",
    ),
    computed(
        "bytes read as signed",
        "cast",
        _signed_bytes,
        value(built("cast", dtype="float32"), np.asarray([3, 200], "uint8")),
        "uint8",
        likely=("test_a_step_of",),
    ),
    written(
        "iota counts from 1",
        "iota",
        lambda *, shape, axis, dtype: G.iota(shape=shape, axis=axis, dtype=dtype) + G.constant(1, dtype),
        value(lambda x: x + G.iota(shape=(3,), axis=0, dtype="float32"), ramp(3)),
    ),
    written(
        "iota along the last axis always",
        "iota",
        lambda *, shape, axis, dtype: G.iota(shape=shape, axis=len(shape) - 1, dtype=dtype),
        value(lambda x: x + G.iota(shape=(3, 2), axis=0, dtype="float32"), ramp(3, 2)),
    ),
)
