"""Pooling over VALID windows of NCHW images, closed under gradient.

A max-pool index is int32 and counts within one image plane, row * width + column. A border that no whole
window covers is ignored.
"""

from __future__ import annotations

from collections.abc import Sequence

from isograd.errors import ShapeError
from isograd.graph.dtypes import FLOATING
from isograd.graph.primitives import checks
from isograd.graph.tensor import Application, Tensor, primitive


def _pooled(
    name: str,
    x: Tensor,
    window: int | Sequence[int],
    stride: int | Sequence[int] | None,
    dtype: str | None = None,
) -> Application:
    checks.tensor(name, "x", x, FLOATING, ndim=4)
    size = checks.pair(name, "window", window)
    step = size if stride is None else checks.pair(name, "stride", stride)
    rows, columns = checks.windows(name, x.shape, size, step)
    kind = "int32" if dtype == "int32" else x.dtype
    return Application((x,), (*x.shape[:2], rows, columns), kind, {"window": size, "stride": step})


@primitive("pool")
def sum_pool2d(
    x: Tensor, *, window: int | Sequence[int], stride: int | Sequence[int] | None = None
) -> Application:
    """The sum of each window; the stride defaults to the window."""
    return _pooled("sum_pool2d", x, window, stride)


@primitive("pool")
def sum_pool2d_t(
    g: Tensor, *, window: int | Sequence[int], stride: int | Sequence[int], input_size: Sequence[int]
) -> Application:
    """The transpose of `sum_pool2d`: each element of g added to every pixel of its window."""
    checks.tensor("sum_pool2d_t", "g", g, FLOATING, ndim=4)
    shape = checks.pair("sum_pool2d_t", "window", window)
    step = checks.pair("sum_pool2d_t", "stride", stride)
    size = checks.pair("sum_pool2d_t", "input_size", input_size)
    pooled = checks.windows("sum_pool2d_t", size, shape, step)
    if g.shape[2:] != pooled:
        raise ShapeError(f"sum_pool2d_t: g has shape {list(g.shape)}; pooling {size} gives {pooled} pixels")
    attributes = {"window": shape, "stride": step, "input_size": size}
    return Application((g,), (*g.shape[:2], *size), g.dtype, attributes)


@primitive("pool")
def max_pool2d(
    x: Tensor, *, window: int | Sequence[int], stride: int | Sequence[int] | None = None
) -> Application:
    """The maximum of each window, NaN if there is one; the stride defaults to the window.

    The gradient goes to the element that `max_pool2d_index` names.
    """
    return _pooled("max_pool2d", x, window, stride)


@primitive("pool")
def max_pool2d_index(
    x: Tensor, *, window: int | Sequence[int], stride: int | Sequence[int] | None = None
) -> Application:
    """Where each window's maximum lies: the first in row-major order of equals, of NaNs too. No gradient."""
    return _pooled("max_pool2d_index", x, window, stride, "int32")


@primitive("pool")
def pool_gather2d(x: Tensor, index: Tensor) -> Application:
    """From each plane of x the elements at the indices: y[n, c, i, j] = x[n, c].flat[index[n, c, i, j]]."""
    checks.tensor("pool_gather2d", "x", x, FLOATING, ndim=4)
    checks.tensor("pool_gather2d", "index", index, {"int32"}, ndim=4)
    if x.shape[:2] != index.shape[:2]:
        raise ShapeError(
            f"pool_gather2d: x {list(x.shape)} and index {list(index.shape)} differ in their planes"
        )
    return Application((x, index), index.shape, x.dtype)


@primitive("pool")
def unpool2d(g: Tensor, index: Tensor, *, input_size: Sequence[int]) -> Application:
    """The transpose of `pool_gather2d`: planes of zeros, to which g is added at the indices."""
    checks.tensor("unpool2d", "g", g, FLOATING, ndim=4)
    checks.tensor("unpool2d", "index", index, {"int32"}, ndim=4)
    size = checks.pair("unpool2d", "input_size", input_size)
    if g.shape != index.shape:
        raise ShapeError(f"unpool2d: g has shape {list(g.shape)}, index {list(index.shape)}")
    return Application((g, index), (*g.shape[:2], *size), g.dtype, {"input_size": size})
