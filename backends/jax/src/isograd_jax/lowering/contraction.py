"""Matrix products and convolutions, in full precision on every device.

XLA's own convolution on the CPU is quick forward. Its gradients are convolutions with a dilated or padded
operand, which it computes as they stand: for the input gradient of the chapter's second layer 1.4 ms at
mini-batch 10. As products, one a filter row on horizontal patches, that takes 0.6 ms; the filter gradient is
quicker so where there is a single input channel (3.0 ms instead of 11.8 at mini-batch 128).
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from isograd.graph import Tensor
from isograd_jax.lowering.table import lowers
from isograd_jax.trace import Image, Trace

# Without it a GPU may use TF32, and a TPU bfloat16.
PRECISION = lax.Precision.HIGHEST
_DIMENSIONS = ("NHWC", "OIHW", "NHWC")


@lowers("matmul")
def _matmul(trace: Trace, node: Tensor) -> jax.Array:
    a, b = (trace.value(x) for x in node.inputs)
    batch = tuple(range(node.ndim - 2))
    dimensions = ((node.ndim - 1,), (node.ndim - 2,)), (batch, batch)
    return lax.dot_general(a, b, dimensions, precision=PRECISION)


def _convolve(x: jax.Array, w: jax.Array, node: Tensor, groups: int) -> jax.Array:
    """Channels-last images by filters (out, in, rows, columns), with the node's geometry."""
    return lax.conv_general_dilated(
        x,
        w,
        node.attributes["stride"],
        "VALID",
        rhs_dilation=node.attributes["dilation"],
        dimension_numbers=_DIMENSIONS,
        feature_group_count=groups,
        precision=PRECISION,
    )


def _by_groups(
    trace: Trace,
    node: Tensor,
    convolve: Callable[[jax.Array, jax.Array, int], jax.Array],
    *operands: tuple[jax.Array, int],
    axis: int,
) -> jax.Array:
    """A convolution with groups, given its operands, and where their maps or channels and the result's are.

    On the CPU XLA computes every group with the channels of all and multiplies most of them by 0, which a NaN
    or an infinity of another group survives; so there each group is a convolution of its own.
    """
    groups = node.attributes["groups"]
    if groups == 1 or trace.platform != "cpu":
        (a, _), (b, _) = operands
        return convolve(a, b, groups)
    parts = zip(*(jnp.split(array, groups, axis=at) for array, at in operands), strict=True)
    return jnp.concatenate([convolve(a, b, 1) for a, b in parts], axis=axis)


@lowers("conv2d")
def _conv2d(trace: Trace, node: Tensor) -> jax.Array | Image:
    if not node.size or not node.inputs[0].size:
        return jnp.zeros(node.shape, node.dtype)
    x, w = trace.image(node.inputs[0]), trace.value(node.inputs[1])

    def forward(x: jax.Array, w: jax.Array, groups: int) -> jax.Array:
        return _convolve(x, w, node, groups)

    return Image(_by_groups(trace, node, forward, (x, 3), (w, 0), axis=3))


@lowers("conv2d_dx")
def _conv2d_dx(trace: Trace, node: Tensor) -> jax.Array | Image:
    if not node.size or not node.inputs[0].size:
        return jnp.zeros(node.shape, node.dtype)
    g, w = trace.image(node.inputs[0]), trace.value(node.inputs[1])
    if _has_rows(trace, node):
        return Image(_input_gradient_by_rows(g, w))

    def backward(g: jax.Array, w: jax.Array, groups: int) -> jax.Array:
        n, _, height, width = node.shape
        image = jax.ShapeDtypeStruct((n, height, width, w.shape[1] * groups), g.dtype)
        (dx,) = jax.linear_transpose(lambda x: _convolve(x, w, node, groups), image)(g)
        return jnp.asarray(dx)

    return Image(_by_groups(trace, node, backward, (g, 3), (w, 0), axis=3))


@lowers("conv2d_dw")
def _conv2d_dw(trace: Trace, node: Tensor) -> jax.Array:
    if not node.size or not node.inputs[0].size:
        return jnp.zeros(node.shape, node.dtype)
    x, g = (trace.image(t) for t in node.inputs)
    if _has_rows(trace, node) and x.shape[3] == 1:
        return _filter_gradient_by_rows(x, g, node.shape[2])

    def backward(x: jax.Array, g: jax.Array, groups: int) -> jax.Array:
        filters = jax.ShapeDtypeStruct((g.shape[3], *node.shape[1:]), g.dtype)
        (dw,) = jax.linear_transpose(lambda w: _convolve(x, w, node, groups), filters)(g)
        return jnp.asarray(dw)

    return _by_groups(trace, node, backward, (x, 3), (g, 3), axis=0)


def _has_rows(trace: Trace, node: Tensor) -> bool:
    """Whether the convolution can be taken apart into products on horizontal patches, and gains by it."""
    a = node.attributes
    plain = (a["stride"], a["dilation"], a["groups"]) == ((1, 1), (1, 1), 1)
    return plain and trace.platform == "cpu" and not trace.native


def _input_gradient_by_rows(g: jax.Array, w: jax.Array) -> jax.Array:
    """For filter row u the product of g and the row, added to rows u, u + 1, ... of the patches' gradient."""
    outs, ins, height, width = w.shape
    zero = jnp.zeros((), g.dtype)
    patches = None
    for u in range(height):
        row = lax.reshape(lax.transpose(w[:, :, u], (0, 2, 1)), (outs, width * ins))
        product = lax.dot_general(g, row, (((3,), (0,)), ((), ())), precision=PRECISION)
        placed = lax.pad(product, zero, [(0, 0, 0), (u, height - 1 - u, 0), (0, 0, 0), (0, 0, 0)])
        patches = placed if patches is None else patches + placed
    # Without the barrier XLA computes the sum above anew for each of the terms below.
    patches = lax.optimization_barrier(patches)
    dx = None
    for v in range(width):
        pixels = patches[..., v * ins : (v + 1) * ins]
        placed = lax.pad(pixels, zero, [(0, 0, 0), (0, 0, 0), (v, width - 1 - v, 0), (0, 0, 0)])
        dx = placed if dx is None else dx + placed
    assert dx is not None
    return dx


def _filter_gradient_by_rows(x: jax.Array, g: jax.Array, height: int) -> jax.Array:
    """For filter row u the product of the horizontal patches of rows u, u + 1, ... and g."""
    _, rows, columns, outs = g.shape
    width = x.shape[2] - columns + 1
    patches = lax.concatenate([x[:, :, v : v + columns] for v in range(width)], 3)
    patches = lax.optimization_barrier(patches)
    everywhere = ((0, 1, 2), (0, 1, 2)), ((), ())
    parts = [
        lax.dot_general(patches[:, u : u + rows], g, everywhere, precision=PRECISION) for u in range(height)
    ]
    return jnp.stack(parts).reshape(height, width, x.shape[3], outs).transpose(3, 2, 0, 1)
