"""Matrix products and convolutions, all of them through BLAS.

A convolution is a product of filters and patches. Where the vertical stride is 1, patches hold only the
*horizontal* neighbours of a pixel: for each filter row u the product takes the rows of patches from u on,
which lie one after another in memory, and adds to what is there. That is a kernel-height-th of the patches
to write, and in the gradient the vertical half of the scattering is done by the product itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from isograd.graph import Tensor
from isograd_numpy import blas
from isograd_numpy.lowering.table import lowers
from isograd_numpy.plan import BATCH_INNERMOST, Plan

Array = npt.NDArray[Any]

# Below this inner length a product for each filter row costs more than writing all patches out.
_LEAST_INNER_LENGTH = 32
# Filters (out, in, row, column) in memory as one matrix out x (in, column) for each row.
FILTER_ROWS = (2, 0, 1, 3)
_FILTERS = (0, 1, 2, 3)


@lowers("matmul")
def _matmul(plan: Plan, node: Tensor) -> Array:
    a, b = (plan.value(x) for x in node.inputs)
    y = product_buffer(plan, node)
    emit_product(plan, a, b, y)
    return plan.own(node, y)


def product_buffer(plan: Plan, node: Tensor) -> Array:
    """Column-major when there are more columns than rows: few rows of a wide result are slow in BLAS."""
    wide = node.ndim == 2 and node.shape[0] < node.shape[1]
    return plan.buffer(node.shape, node.dtype, (1, 0) if wide else None)


def emit_product(plan: Plan, a: Array, b: Array, out: Array, *, beta: float = 0.0) -> None:
    """out = a @ b + beta * out."""
    if beta == 0 and out.ndim == 2:
        left, right, into = (a, b, out) if out.flags.c_contiguous else (b.T, a.T, out.T)
        straight = all(x.flags.c_contiguous or x.flags.f_contiguous for x in (left, right))
        if straight and into.flags.c_contiguous:
            plan.emit(np.dot, left, right, into)
            return
    call = blas.multiply(a, b, out, beta=beta) if out.ndim == 2 else None
    if call is not None:
        plan.keep(a, b, out)
        plan.emit(call)
    elif beta == 0:
        plan.emit(np.matmul, a, b, out)
    else:
        plan.emit(_accumulate, a, b, out, beta)


def _accumulate(a: Array, b: Array, out: Array, beta: float) -> None:
    """For what BLAS can not address, or where there is nothing to multiply."""
    np.multiply(out, beta, out)
    np.add(out, np.matmul(a, b), out)


@dataclass(frozen=True)
class Geometry:
    """The sizes of a convolution; height and width are those of the image, rows and columns of the output."""

    batch: int
    channels: int
    height: int
    width: int
    maps: int
    kernel: tuple[int, int]
    rows: int
    columns: int
    stride: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    @classmethod
    def of(
        cls,
        image: tuple[int, ...],
        filters: tuple[int, ...],
        output: tuple[int, ...],
        attributes: Mapping[str, Any],
    ) -> Geometry:
        n, c, h, w = image
        settings = {name: attributes[name] for name in ("stride", "dilation", "groups")}
        return cls(n, c, h, w, filters[0], filters[2:], output[2], output[3], **settings)  # type: ignore[arg-type]

    @property
    def by_rows(self) -> bool:
        """Whether patches hold horizontal neighbours alone."""
        inner = self.channels // self.groups * self.kernel[1]
        return self.stride[0] == 1 and (self.kernel[0] == 1 or inner >= _LEAST_INNER_LENGTH)

    @property
    def filter_order(self) -> tuple[int, ...]:
        return FILTER_ROWS if self.by_rows else _FILTERS

    @property
    def patch_shape(self) -> tuple[int, ...]:
        """(channel, [filter row,] filter column, row, column, image)."""
        if self.by_rows:
            return self.channels, self.kernel[1], self.height, self.columns, self.batch
        return self.channels, *self.kernel, self.rows, self.columns, self.batch

    def taps(self) -> Iterator[tuple[tuple[int, ...], tuple[slice, slice]]]:
        """Where in patches each filter element (or column) lies, and what part of the image it sees."""
        across = [
            (v, _span(v, self.columns, self.stride[1], self.dilation[1])) for v in range(self.kernel[1])
        ]
        if self.by_rows:
            yield from (((v,), (slice(None), columns)) for v, columns in across)
            return
        for u in range(self.kernel[0]):
            down = _span(u, self.rows, self.stride[0], self.dilation[0])
            yield from (((u, v), (down, columns)) for v, columns in across)

    def products(
        self, filters: Array, patches: Array, output: Array
    ) -> Iterator[tuple[Array, Array, Array, bool]]:
        """The matrices of each product: filters (out, inner), patches (inner, pixels), output (out, pixels).

        The last element tells the first product of each group, after which the output is added to. `filters`
        is (out, in, row, column) in `filter_order`, `output` (out, row, column, image).
        """
        # Sizes are given in full, not as -1: a batch or a number of channels may be 0.
        out, inner = self.maps // self.groups, self.channels // self.groups
        pixels = self.rows * self.columns * self.batch
        for group in range(self.groups):
            w = filters[group * out : (group + 1) * out]
            p = patches[group * inner : (group + 1) * inner]
            y = np.reshape(output[group * out : (group + 1) * out], (out, pixels), copy=False)
            if not self.by_rows:
                depth = inner * self.kernel[0] * self.kernel[1]
                yield (
                    np.reshape(w, (out, depth), copy=False),
                    np.reshape(p, (depth, pixels), copy=False),
                    y,
                    True,
                )
                continue
            depth = inner * self.kernel[1]
            lines = np.reshape(p, (depth, self.height, self.columns * self.batch), copy=False)
            for u in range(self.kernel[0]):
                first = u * self.dilation[0]
                row = np.reshape(w[:, :, u], (out, depth), copy=False)
                seen = np.reshape(lines[:, first : first + self.rows], (depth, pixels), copy=False)
                yield row, seen, y, u == 0


def _span(tap: int, count: int, stride: int, dilation: int) -> slice:
    first = tap * dilation
    return slice(first, first + stride * (count - 1) + 1, stride)


def geometry_of(node: Tensor) -> Geometry:
    """The geometry of any of the three convolutions."""
    a, b = node.inputs
    if node.primitive == "conv2d":
        return Geometry.of(a.shape, b.shape, node.shape, node.attributes)
    if node.primitive == "conv2d_dx":
        return Geometry.of(node.shape, b.shape, a.shape, node.attributes)
    return Geometry.of(a.shape, node.shape, b.shape, node.attributes)


def image_memory(x: Array) -> Array:
    """(channel, row, column, image): the memory of an image laid out with the batch innermost."""
    return x.transpose(BATCH_INNERMOST)


def patches_of(plan: Plan, x: Tensor, geometry: Geometry) -> Array:
    """The patches of x, written once for a convolution and for the gradient of its weights."""
    key = ("patches", id(x), geometry)
    if key not in plan.notes:
        image = image_memory(plan.laid_out(x, BATCH_INNERMOST))
        if geometry.by_rows and geometry.kernel[1] == 1 and geometry.stride[1] == 1:
            plan.notes[key] = np.reshape(image, geometry.patch_shape, copy=False)
        else:
            plan.notes[key] = np.empty(geometry.patch_shape, x.dtype)
            plan.emit(np.copyto, plan.notes[key], _windows(image, geometry))
    patches: Array = plan.notes[key]
    return patches


def _windows(image: Array, geometry: Geometry) -> Array:
    """The image seen as patches, without a copy."""
    channel, row, column, one = image.strides
    (sh, sw), (dh, dw) = geometry.stride, geometry.dilation
    inner = [dw * column, row, sw * column, one]
    if not geometry.by_rows:
        inner = [dh * row, dw * column, sh * row, sw * column, one]
    return as_strided(image, geometry.patch_shape, [channel, *inner], writeable=False)


def _filters(plan: Plan, w: Tensor, geometry: Geometry) -> Array:
    return plan.laid_out(w, geometry.filter_order)


def emit_products(
    plan: Plan, which: str, geometry: Geometry, filters: Array, patches: Array, output: Array
) -> None:
    """The products of one convolution: `which` names the array that is computed from the other two."""
    for w, p, y, first in geometry.products(filters, patches, output):
        if which == "output":
            emit_product(plan, w, p, y, beta=0.0 if first else 1.0)
        elif which == "filters":
            emit_product(plan, y, p.T, w)
        else:
            emit_product(plan, w.T, y, p, beta=0.0 if first and not geometry.by_rows else 1.0)


@lowers("conv2d")
def _conv2d(plan: Plan, node: Tensor) -> Array:
    x, w = node.inputs
    geometry = geometry_of(node)
    y = plan.buffer(node.shape, node.dtype, BATCH_INNERMOST)
    filters, patches = _filters(plan, w, geometry), patches_of(plan, x, geometry)
    emit_products(plan, "output", geometry, filters, patches, image_memory(y))
    return plan.own(node, y)


@lowers("conv2d_dw")
def _conv2d_dw(plan: Plan, node: Tensor) -> Array:
    x, g = node.inputs
    geometry = geometry_of(node)
    w = plan.buffer(node.shape, node.dtype, geometry.filter_order)
    output = image_memory(plan.laid_out(g, BATCH_INNERMOST))
    emit_products(plan, "filters", geometry, w, patches_of(plan, x, geometry), output)
    return plan.own(node, w)


@lowers("conv2d_dx")
def _conv2d_dx(plan: Plan, node: Tensor) -> Array:
    g, w = node.inputs
    geometry = geometry_of(node)
    x = plan.buffer(node.shape, node.dtype, BATCH_INNERMOST)
    image = image_memory(x)
    output = image_memory(plan.laid_out(g, BATCH_INNERMOST))
    if geometry.by_rows and geometry.kernel[1] == 1 and geometry.stride[1] == 1:
        patches = np.reshape(image, geometry.patch_shape, copy=False)
    else:
        patches = np.empty(geometry.patch_shape, node.dtype)
    if geometry.by_rows:
        plan.emit(patches.fill, 0)
    emit_products(plan, "patches", geometry, _filters(plan, w, geometry), patches, output)
    if not np.may_share_memory(patches, image):
        plan.emit(image.fill, 0)
        for tap, (rows, columns) in geometry.taps():
            seen = image[:, rows, columns]
            part: tuple[int | slice, ...] = (slice(None), *tap)
            plan.emit(np.add, seen, patches[part], seen)
    return plan.own(node, x)


def filter_order(plan: Plan, state: Tensor) -> tuple[int, ...] | None:
    """How to lay out a state that convolutions use as filters, or that gathers gradients of filters.

    None where they do not agree.
    """
    readers = [n for n in plan.consumers.get(id(state), []) if n.primitive in ("conv2d", "conv2d_dx")]
    filters = [n for n in readers if n.inputs[1] is state]
    if not filters and state.name in plan.function.updates:
        filters = list(_weight_gradients(plan.function.updates[state.name]))
    orders = {geometry_of(n).filter_order for n in filters}
    return orders.pop() if len(orders) == 1 else None


def _weight_gradients(node: Tensor) -> Iterator[Tensor]:
    """The weight gradients that a new value is an elementwise combination of."""
    if node.primitive == "conv2d_dw":
        yield node
    elif node.primitive in ("add", "sub", "neg", "mul", "div"):
        for operand in node.inputs:
            yield from _weight_gradients(operand)
