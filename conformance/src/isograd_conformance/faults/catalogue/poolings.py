"""Faults in poolings."""

from __future__ import annotations

from typing import Any

import numpy as np

from isograd import graph as G
from isograd.graph import Tensor
from isograd.graph.reference import REFERENCE
from isograd_conformance.faults.catalogue.primitives import built, computed, written
from isograd_conformance.faults.fault import Fault
from isograd_conformance.faults.witness import counted, ramp, value
from isograd_conformance.subject import HostArray

INF, NAN = np.inf, np.nan


def _last_maximum(x: HostArray, **attributes: Any) -> HostArray:
    turned = REFERENCE["max_pool2d_index"](x[..., ::-1, ::-1], **attributes)
    rows, columns = x.shape[2:]
    (kh, kw), (sh, sw) = attributes["window"], attributes["stride"]
    exact = (rows - kh) % sh == 0 and (columns - kw) % sw == 0
    return (
        rows * columns - 1 - turned[..., ::-1, ::-1]
        if exact
        else REFERENCE["max_pool2d_index"](x, **attributes)
    )


def _index_in_window(x: HostArray, **attributes: Any) -> HostArray:
    """Counted within the window instead of the plane."""
    index = REFERENCE["max_pool2d_index"](x, **attributes)
    rows, columns = np.divmod(index, x.shape[3])
    i, j = np.indices(index.shape)[2:]
    (sh, sw), width = attributes["stride"], attributes["window"][1]
    return np.asarray((rows - i * sh) * width + columns - j * sw)


def _index_without_nan(x: HostArray, **attributes: Any) -> HostArray:
    return REFERENCE["max_pool2d_index"](np.where(np.isnan(x), -np.inf, x), **attributes)


def _padded_pool(x: HostArray, **attributes: Any) -> HostArray:
    return np.maximum(REFERENCE["max_pool2d"](x, **attributes), 0)


def _numbers_pool(x: HostArray, **attributes: Any) -> HostArray:
    """NaN does not propagate."""
    y = REFERENCE["max_pool2d"](np.where(np.isnan(x), -np.inf, x), **attributes)
    return np.asarray(y)


def _average(x: Tensor, *, window: Any, stride: Any) -> Tensor:
    return G.average_pool2d(x, window=window, stride=stride)


def _stride_as_window(x: HostArray, *, window: Any, stride: Any) -> HostArray:
    """Windows that overlap are cut to the stride."""
    y = REFERENCE["sum_pool2d"](x, window=window, stride=stride)
    rows, columns = (min(k, s) for k, s in zip(window, stride, strict=True))
    for i, j in np.ndindex(y.shape[2:]):
        r, c = i * stride[0], j * stride[1]
        y[:, :, i, j] = x[:, :, r : r + rows, c : c + columns].sum(axis=(2, 3))
    return y


def _no_overlap_t(g: HostArray, *, window: Any, stride: Any, input_size: Any) -> HostArray:
    """Where windows overlap the last one wins."""
    x = np.zeros((*g.shape[:2], *input_size), g.dtype)
    for i in range(g.shape[2]):
        for j in range(g.shape[3]):
            r, c = i * stride[0], j * stride[1]
            x[:, :, r : r + window[0], c : c + window[1]] = g[:, :, i : i + 1, j : j + 1]
    return x


def _no_overlap_unpool(g: HostArray, index: HostArray, *, input_size: Any) -> HostArray:
    x = np.zeros((*g.shape[:2], input_size[0] * input_size[1]), g.dtype)
    for n, c in np.ndindex(g.shape[:2]):
        x[n, c][index[n, c].reshape(-1)] = g[n, c].reshape(-1)
    return x.reshape(*g.shape[:2], *input_size)


def _first_plane(x: HostArray, index: HostArray) -> HostArray:
    """Every plane is read at the places of the first."""
    if not index.size:
        return REFERENCE["pool_gather2d"](x, index)
    return REFERENCE["pool_gather2d"](x, np.broadcast_to(index[:1, :1], index.shape))


IMAGE, FILTERS = ramp(2, 2, 4, 4), ramp(2, 2, 2, 2)
GRADIENT = ramp(2, 2, 3, 3)
WINDOW = {"window": (2, 2), "stride": (1, 1)}
TIES = np.zeros((1, 1, 3, 3), "float32")

FAULTS: tuple[Fault, ...] = (
    # Poolings
    computed(
        "max pooling padded with 0",
        "max_pool2d",
        _padded_pool,
        value(built("max_pool2d", **WINDOW), TIES - 1),
    ),
    computed(
        "max pooling ignores NaN",
        "max_pool2d",
        _numbers_pool,
        value(built("max_pool2d", **WINDOW), TIES * NAN),
    ),
    computed(
        "the last of equal pixels",
        "max_pool2d_index",
        _last_maximum,
        value(built("max_pool2d_index", **WINDOW), TIES),
        "int32",
    ),
    computed(
        "an index within the window",
        "max_pool2d_index",
        _index_in_window,
        value(built("max_pool2d_index", **WINDOW), ramp(1, 1, 3, 3)),
        "int32",
    ),
    computed(
        "an index that overlooks NaN",
        "max_pool2d_index",
        _index_without_nan,
        value(built("max_pool2d_index", **WINDOW), np.asarray([[[[1, 5], [NAN, 3]]]], "float32")),
        "int32",
    ),
    written(
        "average for sum in pooling", "sum_pool2d", _average, value(built("sum_pool2d", **WINDOW), IMAGE)
    ),
    computed(
        "sum pooling of windows cut to the stride",
        "sum_pool2d",
        _stride_as_window,
        value(built("sum_pool2d", window=(2, 2), stride=(2, 1)), ramp(1, 1, 4, 4)),
    ),
    computed(
        "overlapping windows overwrite each other's gradient",
        "sum_pool2d_t",
        _no_overlap_t,
        value(built("sum_pool2d_t", **WINDOW, input_size=(4, 4)), GRADIENT),
    ),
    computed(
        "duplicate places lost in unpooling",
        "unpool2d",
        _no_overlap_unpool,
        value(built("unpool2d", input_size=(2, 2)), ramp(1, 1, 1, 2), counted(3, 3).reshape(1, 1, 1, 2)),
        "int32",
    ),
    computed(
        "every plane read at the places of the first",
        "pool_gather2d",
        _first_plane,
        value(built("pool_gather2d"), ramp(1, 2, 2, 2), counted(0, 3).reshape(1, 2, 1, 1)),
        "int32",
    ),
)
