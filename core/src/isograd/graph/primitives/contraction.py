"""Matrix products and convolutions. Images are NCHW, filters OIHW.

The three convolutions are closed under gradient: each is linear in both operands, and the derivative of any
of them is another. All windows are VALID; padding is an explicit `pad`.
"""

from __future__ import annotations

from collections.abc import Sequence

from isograd.errors import ShapeError
from isograd.graph.dtypes import FLOATING
from isograd.graph.primitives import checks
from isograd.graph.tensor import Application, Tensor, primitive


@primitive("contract")
def matmul(a: Tensor, b: Tensor) -> Application:
    """sum over k of a[..., i, k] * b[..., k, j]; the leading (batch) axes are the same in both."""
    for operand, x in (("a", a), ("b", b)):
        checks.tensor("matmul", operand, x, FLOATING)
        if x.ndim < 2:
            raise ShapeError(f"matmul: {operand} has shape {list(x.shape)}; expected at least 2 axes")
    checks.same_dtype("matmul", a, b)
    if a.shape[-1] != b.shape[-2] or a.shape[:-2] != b.shape[:-2]:
        raise ShapeError(f"matmul: shapes {list(a.shape)} and {list(b.shape)} do not fit together")
    return Application((a, b), (*a.shape[:-1], b.shape[-1]), a.dtype)


def _geometry(
    name: str,
    image: tuple[int, ...],
    filters: tuple[int, ...],
    stride: int | Sequence[int],
    dilation: int | Sequence[int],
    groups: int,
) -> tuple[dict[str, tuple[int, int] | int], tuple[int, ...]]:
    """Normalised stride, dilation and groups, and the shape of the convolution of an image by filters."""
    s, d = checks.pair(name, "stride", stride), checks.pair(name, "dilation", dilation)
    g = checks.whole(name, "groups", groups, 1)
    if image[1] != filters[1] * g or filters[0] % g:
        raise ShapeError(
            f"{name}: filters {list(filters)} (out, in / groups, height, width) in {g} groups do not fit "
            f"an image {list(image)} (batch, channels, height, width)"
        )
    checks.pair(name, "filter size", filters[2:])
    rows, columns = checks.windows(name, image, filters, s, d)
    return {"stride": s, "dilation": d, "groups": g}, (image[0], filters[0], rows, columns)


@primitive("contract")
def conv2d(
    x: Tensor,
    w: Tensor,
    *,
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Application:
    """Cross-correlation (Nielsen, chapter 6, equation 125: the kernel is not flipped).

    y[n, o, i, j] = sum over c, u, v of x[n, c', i*s + u*d, j*s + v*d] * w[o, c, u, v], where output channel o
    of group g = o // (O / groups) sees the input channels c' = g * (C / groups) + c.
    """
    checks.tensor("conv2d", "x", x, FLOATING, ndim=4)
    checks.tensor("conv2d", "w", w, FLOATING, ndim=4)
    checks.same_dtype("conv2d", x, w)
    attributes, shape = _geometry("conv2d", x.shape, w.shape, stride, dilation, groups)
    return Application((x, w), shape, x.dtype, attributes)


@primitive("contract")
def conv2d_dx(
    g: Tensor,
    w: Tensor,
    *,
    input_size: Sequence[int],
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Application:
    """The transpose of `conv2d` in x: from the gradient g of its output that of an image of `input_size`.

    dx[n, c', h, k] = sum of g[n, o, i, j] * w[o, c, u, v] over all o, i, j, u, v with i*s + u*d = h and
    j*s + v*d = k.
    """
    checks.tensor("conv2d_dx", "g", g, FLOATING, ndim=4)
    checks.tensor("conv2d_dx", "w", w, FLOATING, ndim=4)
    checks.same_dtype("conv2d_dx", g, w)
    size = checks.pair("conv2d_dx", "input_size", input_size)
    image = (g.shape[0], w.shape[1] * checks.whole("conv2d_dx", "groups", groups, 1), *size)
    attributes, output = _geometry("conv2d_dx", image, w.shape, stride, dilation, groups)
    _expect_gradient("conv2d_dx", g, output)
    return Application((g, w), image, g.dtype, {"input_size": size, **attributes})


@primitive("contract")
def conv2d_dw(
    x: Tensor,
    g: Tensor,
    *,
    filter_size: Sequence[int],
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Application:
    """The transpose of `conv2d` in w: from the gradient g of its output that of filters of `filter_size`.

    dw[o, c, u, v] = sum over n, i, j of g[n, o, i, j] * x[n, c', i*s + u*d, j*s + v*d].
    """
    checks.tensor("conv2d_dw", "x", x, FLOATING, ndim=4)
    checks.tensor("conv2d_dw", "g", g, FLOATING, ndim=4)
    checks.same_dtype("conv2d_dw", x, g)
    size = checks.pair("conv2d_dw", "filter_size", filter_size)
    count = checks.whole("conv2d_dw", "groups", groups, 1)
    filters = (g.shape[1], x.shape[1] // count, *size)
    attributes, output = _geometry("conv2d_dw", x.shape, filters, stride, dilation, groups)
    _expect_gradient("conv2d_dw", g, output)
    return Application((x, g), filters, x.dtype, {"filter_size": size, **attributes})


def _expect_gradient(name: str, g: Tensor, output: tuple[int, ...]) -> None:
    if g.shape != output:
        raise ShapeError(f"{name}: g has shape {list(g.shape)}; the convolution's output has {list(output)}")
