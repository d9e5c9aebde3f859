"""Bounds of primitives that move, choose or compare."""

from __future__ import annotations

import numpy as np

from isograd.graph import FLOATING
from isograd.graph.reference import REFERENCE
from isograd_conformance.bounds.tracking import Application, Array, rule


@rule("reshape", "transpose", "broadcast_to", "slice", "stop_gradient", "concat")
def _moved(a: Application) -> Array:
    return a.applied(*(x.error for x in a.operands))


@rule("pad")
def _padded(a: Application) -> Array:
    return np.asarray(REFERENCE["pad"](a.operands[0].error, **{**a.node.attributes, "value": 0}))


@rule("gather")
def _gathered(a: Application) -> Array:
    x, index = a.operands
    return a.applied(x.error, index.value)


@rule("pool_gather2d")
def _pool_gathered(a: Application) -> Array:
    """An index in doubt may point anywhere in its plane: the farthest pixel bounds what comes instead."""
    x, index = a.operands
    error = a.applied(x.error, index.value)
    if not index.error.any():
        return error
    most, least = ((x.value + sign * x.error) for sign in (1, -1))
    highest, lowest = most.max(axis=(2, 3), keepdims=True), least.min(axis=(2, 3), keepdims=True)
    return np.where(index.error > 0, np.maximum(highest - a.value, a.value - lowest), error)


@rule("neg", "abs")
def _same(a: Application) -> Array:
    return a.operands[0].error


@rule("cast")
def _cast(a: Application) -> Array:
    (x,) = a.operands
    source, dtype = a.node.inputs[0].dtype, a.node.dtype
    if dtype == "bool":
        return np.where(_close(abs(x.value.astype(float)), x.error), 1.0, 0.0)
    if dtype not in FLOATING:
        if source not in FLOATING:
            return x.error
        low, high = np.trunc(x.value - x.error), np.trunc(x.value + x.error)
        truncated: Array = np.maximum(high - np.trunc(x.value), np.trunc(x.value) - low)
        return truncated
    narrowed = dtype == "float32" and source in ("float64", "int32")
    return x.error + (a.rounded(abs(a.value) + x.error, a.unit) if narrowed else 0)


@rule("relu")
def _relu(a: Application) -> Array:
    (x,) = a.operands
    return np.where(x.value + x.error > 0, x.error, 0)


@rule("maximum", "minimum")
def _extremum(a: Application) -> Array:
    """1-Lipschitz in the larger of the errors."""
    return np.maximum(a.operands[0].error, a.operands[1].error)


@rule("reduce_max", "max_pool2d")
def _largest(a: Application) -> Array:
    return a.applied(a.operands[0].error)


@rule("where")
def _where(a: Application) -> Array:
    """Where the condition is in doubt, the other branch is right as well."""
    condition, x, y = a.operands
    error = np.where(condition.value, x.error, y.error)
    if not condition.error.any():
        return error
    # Two branches that are the same infinity are one.
    same = x.value == y.value
    apart = np.where(same, 0, abs(x.value.astype(float) - y.value)) + np.maximum(x.error, y.error)
    return np.where(condition.error > 0, apart, error)


def _close(apart: Array, doubt: Array) -> Array:
    """Where two numbers may be the same, or in the other order, within their errors."""
    return (apart <= doubt) & (doubt > 0)


@rule("greater", "equal")
def _compared(a: Application) -> Array:
    x, y = a.operands
    apart = abs(x.value.astype(float) - y.value)
    return np.where(_close(apart, x.error + y.error), 1.0, 0.0)


@rule("sign")
def _sign(a: Application) -> Array:
    """A number in doubt about 0 may have sign -1, 0 or 1."""
    (x,) = a.operands
    return np.where(_close(abs(x.value.astype(float)), x.error), 1 + abs(a.value), 0.0)


@rule("argmax")
def _argmax(a: Application) -> Array:
    """In doubt where two elements that may be the maximum are not both exact."""
    (x,), axis = a.operands, a.node.attributes["axis"]
    if not x.error.any():
        return np.zeros(a.value.shape)
    at = np.expand_dims(a.value, axis)
    floor = np.take_along_axis(x.value, at, axis) - np.take_along_axis(x.error, at, axis)
    candidates = x.value + x.error >= floor
    uncertain = np.where(candidates, x.error, 0).max(axis=axis) > 0
    return np.where(uncertain & (candidates.sum(axis=axis) > 1), np.inf, 0.0)


@rule("max_pool2d_index")
def _max_pool2d_index(a: Application) -> Array:
    """As `argmax`, window by window."""
    (x,), node = a.operands, a.node
    error = np.zeros(a.value.shape)
    if not x.error.any():
        return error
    (rows, columns), (down, right) = node.attributes["window"], node.attributes["stride"]
    flat_value, flat_error = (part.reshape(*part.shape[:2], -1) for part in (x.value, x.error))
    for i, j in np.ndindex(*a.value.shape[2:]):
        window = np.s_[:, :, i * down : i * down + rows, j * right : j * right + columns]
        at = a.value[:, :, i, j][..., None]
        floor = np.take_along_axis(flat_value, at, 2) - np.take_along_axis(flat_error, at, 2)
        candidates = (x.value + x.error)[window] >= floor[..., None]
        uncertain = np.where(candidates, x.error[window], 0).max(axis=(2, 3)) > 0
        error[:, :, i, j] = np.where(uncertain & (candidates.sum(axis=(2, 3)) > 1), np.inf, 0.0)
    return error
