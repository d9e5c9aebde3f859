"""Faults in products and convolutions."""

from __future__ import annotations

from typing import Any

import numpy as np

from isograd import graph as G
from isograd.graph import Tensor
from isograd.graph.reference import REFERENCE
from isograd_conformance.faults.catalogue.primitives import built, computed, written
from isograd_conformance.faults.fault import Fault
from isograd_conformance.faults.witness import ramp, value
from isograd_conformance.subject import HostArray

ONE = {"stride": (1, 1), "dilation": (1, 1), "groups": 1}


def flipped(x: Tensor, axis: int) -> Tensor:
    """x with one axis in reverse; the language's slices have positive steps only."""
    n = x.shape[axis]

    def one(i: int) -> Tensor:
        at = [slice(None)] * x.ndim
        at[axis] = slice(i, i + 1)
        return x[tuple(at)]

    return G.concat(*map(one, reversed(range(n))), axis=axis) if n > 1 else x


def _turned(w: Tensor) -> Tensor:
    return flipped(flipped(w, 2), 3)


def _swapped(w: Tensor) -> Tensor:
    """The filters with rows and columns exchanged, where they are square."""
    return G.transpose(w, axes=(0, 1, 3, 2)) if w.shape[2] == w.shape[3] else w


def _image_shifted(x: Tensor, w: Tensor, **attributes: Any) -> Tensor:
    """The padding of one side belongs to the other: the image a pixel further."""
    moved = G.concat(x[:, :, 1:], x[:, :, :1], axis=2) if x.shape[2] > 1 else x
    return G.conv2d(moved, w, **attributes)


def _strides_swapped(x: HostArray, w: HostArray, *, stride: Any, dilation: Any, groups: int) -> HostArray:
    """Output pixels are taken a column's stride apart down and a row's across, as far as the image goes."""
    dense = REFERENCE["conv2d"](x, w, stride=(1, 1), dilation=dilation, groups=groups)
    down, across = (
        np.minimum(np.arange((n - 1) // s + 1) * other, n - 1)
        for n, s, other in zip(dense.shape[2:], stride, stride[::-1], strict=True)
    )
    return dense[:, :, down][:, :, :, across]


def _last_column_repeated(x: HostArray, w: HostArray, **attributes: Any) -> HostArray:
    y = REFERENCE["conv2d"](x, w, **attributes)
    if y.shape[3] > 1:
        y[..., -1] = y[..., -2]
    return y


def _groups_as_one(x: HostArray, w: HostArray, *, groups: int, **rest: Any) -> HostArray:
    return REFERENCE["conv2d"](x, np.tile(w, (1, groups, 1, 1)), groups=1, **rest)


def _groups_interleaved(x: Tensor, w: Tensor, *, groups: int, **rest: Any) -> Tensor:
    """The channels of the groups lie alternately instead of one group after the other."""
    n, c, *size = x.shape
    if groups == 1:
        return G.conv2d(x, w, groups=groups, **rest)
    mixed = x.reshape(n, c // groups, groups, *size).transpose(0, 2, 1, 3, 4).reshape(n, c, *size)
    return G.conv2d(mixed, w, groups=groups, **rest)


def _undilated_dw(x: HostArray, g: HostArray, *, dilation: Any, **rest: Any) -> HostArray:
    return REFERENCE["conv2d_dw"](x, g, dilation=(1, 1), **rest)


def _undilated_dx(g: HostArray, w: HostArray, *, dilation: Any, **rest: Any) -> HostArray:
    return REFERENCE["conv2d_dx"](g, w, dilation=(1, 1), **rest)


def _unflipped_dx(g: Tensor, w: Tensor, **attributes: Any) -> Tensor:
    return G.conv2d_dx(g, _turned(w), **attributes)


def _groups_transposed_dx(g: Tensor, w: Tensor, *, groups: int, **rest: Any) -> Tensor:
    """The groups of the gradient in reverse."""
    if groups == 1:
        return G.conv2d_dx(g, w, groups=groups, **rest)
    size = g.shape[1] // groups
    turned = G.concat(*(g[:, i * size : (i + 1) * size] for i in reversed(range(groups))), axis=1)
    return G.conv2d_dx(turned, w, groups=groups, **rest)


def _batch_mean_dw(x: Tensor, g: Tensor, **attributes: Any) -> Tensor:
    return G.conv2d_dw(x, g, **attributes) / max(x.shape[0], 1)


def _first_image_dw(x: Tensor, g: Tensor, **attributes: Any) -> Tensor:
    """Of the batch only what is before its last image."""
    n = max(x.shape[0] - 1, 1)
    return G.conv2d_dw(x[:n], g[:n], **attributes)


def _half_product(a: HostArray, b: HostArray) -> HostArray:
    with np.errstate(over="ignore"):
        return np.asarray(a.astype("float16") @ b.astype("float16"), a.dtype)


def _half_sum(a: HostArray, b: HostArray) -> HostArray:
    """Products in full precision, added in half."""
    y = np.zeros((*a.shape[:-1], b.shape[-1]), "float16")
    for k in range(a.shape[-1]):
        y = (y + a[..., :, k, None] * b[..., None, k, :]).astype("float16")
    return y.astype(a.dtype)


def _short_operands(a: HostArray, b: HostArray) -> HostArray:
    """Operands cut to eleven bits, as some processors' matrix units do unless told otherwise."""
    cut = [(x.astype("float32").view("uint32") & np.uint32(0xFFFFE000)).view("float32") for x in (a, b)]
    return np.asarray(np.matmul(*cut)).astype(a.dtype)


def _transposed_square(a: Tensor, b: Tensor) -> Tensor:
    square = b.shape[-1] == b.shape[-2]
    axes = (*range(b.ndim - 2), b.ndim - 1, b.ndim - 2)
    return G.matmul(a, G.transpose(b, axes=axes) if square else b)


def _first_of_batch(a: Tensor, b: Tensor) -> Tensor:
    """A batch of products, all with the first matrix of the second operand."""
    if a.ndim == 2 or not b.shape[0]:
        return G.matmul(a, b)
    return G.matmul(a, G.broadcast_to(b[:1], b.shape))


def _whole_blocks(a: HostArray, b: HostArray) -> HostArray:
    """Inner lengths are taken in blocks of 64; the remainder of a long one is lost."""
    k = a.shape[-1]
    kept = k // 64 * 64 if k > 64 else k
    return REFERENCE["matmul"](a[..., :kept], b[..., :kept, :])


def _columns_of_32(a: HostArray, b: HostArray) -> HostArray:
    """A tile of 32 columns is computed; those beyond stay 0."""
    y = np.array(REFERENCE["matmul"](a, b))
    y[..., 32:] = 0
    return y


def _many_channels(x: HostArray, w: HostArray, **attributes: Any) -> HostArray:
    """Channels in blocks of 8; the remainder of a larger number is lost."""
    c = w.shape[1]
    if c > 8:
        w = w.copy()
        w[:, c // 8 * 8 :] = 0
    return REFERENCE["conv2d"](x, w, **attributes)


IMAGE, FILTERS = ramp(2, 2, 4, 4), ramp(2, 2, 2, 2)
GRADIENT = ramp(2, 2, 3, 3)
DX, DW = {"input_size": (4, 4)}, {"filter_size": (2, 2)}

FAULTS: tuple[Fault, ...] = (
    # Products
    computed(
        "operands of a product in half precision",
        "matmul",
        _half_product,
        value(built("matmul"), ramp(3, 4), ramp(4, 3) / 3),
    ),
    computed(
        "sums of a product in half precision",
        "matmul",
        _half_sum,
        value(built("matmul"), ramp(3, 4), ramp(4, 3) / 3),
    ),
    computed(
        "operands of a product cut to eleven bits",
        "matmul",
        _short_operands,
        value(built("matmul"), ramp(3, 4) / 3, ramp(4, 3) / 3),
    ),
    written(
        "square matrices transposed",
        "matmul",
        _transposed_square,
        value(built("matmul"), ramp(2, 2), ramp(2, 2)),
    ),
    written(
        "one matrix for a whole batch",
        "matmul",
        _first_of_batch,
        value(built("matmul"), ramp(2, 2, 2), ramp(2, 2, 2)),
    ),
    computed(
        "a long product forgets what is beyond whole blocks",
        "matmul",
        _whole_blocks,
        value(built("matmul"), ramp(2, 67), ramp(67, 2)),
        likely=("large",),
    ),
    computed(
        "a wide product stays 0 beyond its tile",
        "matmul",
        _columns_of_32,
        value(built("matmul"), ramp(2, 2), ramp(2, 35)),
        likely=("large",),
    ),
    # Convolutions
    written(
        "kernel flipped",
        "conv2d",
        lambda x, w, **a: G.conv2d(x, _turned(w), **a),
        value(built("conv2d", **ONE), IMAGE, FILTERS),
    ),
    written(
        "rows and columns of the kernel exchanged",
        "conv2d",
        lambda x, w, **a: G.conv2d(x, _swapped(w), **a),
        value(built("conv2d", **ONE), IMAGE, FILTERS),
    ),
    written(
        "the image is a row off", "conv2d", _image_shifted, value(built("conv2d", **ONE), IMAGE, FILTERS)
    ),
    computed(
        "strides exchanged",
        "conv2d",
        _strides_swapped,
        value(built("conv2d", **{**ONE, "stride": (1, 2)}), ramp(1, 1, 5, 5), ramp(1, 1, 2, 1)),
    ),
    computed(
        "the last column repeats the one before",
        "conv2d",
        _last_column_repeated,
        value(built("conv2d", **ONE), IMAGE, FILTERS),
    ),
    computed(
        "groups ignored",
        "conv2d",
        _groups_as_one,
        value(built("conv2d", **{**ONE, "groups": 2}), IMAGE, FILTERS[:, :1]),
    ),
    written(
        "groups interleaved",
        "conv2d",
        _groups_interleaved,
        value(built("conv2d", **{**ONE, "groups": 2}), ramp(1, 4, 3, 3), ramp(2, 2, 2, 2)),
    ),
    computed(
        "many channels lose their remainder",
        "conv2d",
        _many_channels,
        value(built("conv2d", **ONE), ramp(1, 9, 3, 3), ramp(1, 9, 2, 2)),
        likely=("large",),
    ),
    written(
        "kernel not flipped in the gradient of the image",
        "conv2d_dx",
        _unflipped_dx,
        value(built("conv2d_dx", **ONE, **DX), GRADIENT, FILTERS),
    ),
    computed(
        "dilation ignored in the gradient of the image",
        "conv2d_dx",
        _undilated_dx,
        value(built("conv2d_dx", **{**ONE, "dilation": (2, 1)}, input_size=(5, 4)), GRADIENT, FILTERS),
    ),
    written(
        "groups transposed in the gradient of the image",
        "conv2d_dx",
        _groups_transposed_dx,
        value(built("conv2d_dx", **{**ONE, "groups": 2}, **DX), GRADIENT, FILTERS[:, :1]),
    ),
    computed(
        "dilation ignored in the gradient of the filters",
        "conv2d_dw",
        _undilated_dw,
        value(built("conv2d_dw", **{**ONE, "dilation": (1, 2)}, **DW), ramp(2, 2, 4, 5), GRADIENT),
    ),
    written(
        "mean for sum over the batch in the gradient of the filters",
        "conv2d_dw",
        _batch_mean_dw,
        value(built("conv2d_dw", **ONE, **DW), IMAGE, GRADIENT),
    ),
    written(
        "the last image missing in the gradient of the filters",
        "conv2d_dw",
        _first_image_dw,
        value(built("conv2d_dw", **ONE, **DW), IMAGE, GRADIENT),
    ),
)
