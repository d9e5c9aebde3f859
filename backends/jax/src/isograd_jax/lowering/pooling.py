"""Pooling, without XLA's own gradient of max pooling (select and scatter), which is slow on the CPU."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from isograd.graph import Tensor
from isograd_jax.lowering.structure import IN_BOUNDS
from isograd_jax.lowering.table import lowers
from isograd_jax.native import NATIVE
from isograd_jax.trace import Image, Trace


def taps(x: jax.Array, window: Any, stride: Any) -> Iterator[tuple[int, int, jax.Array]]:
    """For each pixel (u, v) of a window, what every window has there: (batch, rows, columns, channels)."""
    rows, columns = ((n - k) // s + 1 for n, k, s in zip(x.shape[1:3], window, stride, strict=True))
    for u, v in product(*map(range, window)):
        stop = x.shape[0], u + stride[0] * (rows - 1) + 1, v + stride[1] * (columns - 1) + 1, x.shape[3]
        yield u, v, lax.slice(x, (0, u, v, 0), stop, (1, *stride, 1))


def _sums(x: jax.Array, window: Any, stride: Any) -> jax.Array:
    """The sum of each window of channels-last images."""
    return functools.reduce(lax.add, (tap for *_, tap in taps(x, window, stride)))


@lowers("sum_pool2d")
def _sum_pool2d(trace: Trace, node: Tensor) -> jax.Array | Image:
    if not node.size:
        return jnp.zeros(node.shape, node.dtype)
    return Image(_sums(trace.image(node.inputs[0]), node.attributes["window"], node.attributes["stride"]))


@lowers("sum_pool2d_t")
def _sum_pool2d_t(trace: Trace, node: Tensor) -> jax.Array | Image:
    if not node.size:
        return jnp.zeros(node.shape, node.dtype)
    g, a = trace.image(node.inputs[0]), node.attributes
    image = jax.ShapeDtypeStruct((g.shape[0], *a["input_size"], g.shape[3]), g.dtype)
    sums = functools.partial(_sums, window=a["window"], stride=a["stride"])
    (x,) = jax.linear_transpose(sums, image)(g)
    return Image(x)


def maxima(x: jax.Array, window: Any, stride: Any) -> jax.Array:
    """The maximum of each window of channels-last images."""
    return functools.reduce(lax.max, (tap for *_, tap in taps(x, window, stride)))


@lowers("max_pool2d")
def _max_pool2d(trace: Trace, node: Tensor) -> jax.Array | Image:
    if not node.size:
        return jnp.zeros(node.shape, node.dtype)
    function = NATIVE["max_pool2d"] if trace.native else maxima
    return Image(function(trace.image(node.inputs[0]), node.attributes["window"], node.attributes["stride"]))


@lowers("max_pool2d_index")
def _max_pool2d_index(trace: Trace, node: Tensor) -> jax.Array | Image:
    if not node.size:
        return jnp.zeros(node.shape, node.dtype)
    x, (height, width), stride = trace.image(node.inputs[0]), *node.attributes.values()
    first = lax.argmax(jnp.stack([tap for *_, tap in taps(x, (height, width), stride)]), 0, jnp.int32)
    rows, columns = (lax.broadcasted_iota(jnp.int32, first.shape, axis) for axis in (1, 2))
    down, right = first // jnp.int32(width), first % jnp.int32(width)
    row, column = rows * jnp.int32(stride[0]) + down, columns * jnp.int32(stride[1]) + right
    return Image(row * jnp.int32(x.shape[2]) + column)


@lowers("unpool2d")
def _unpool2d(trace: Trace, node: Tensor) -> jax.Array | Image:
    g, index = node.inputs
    if not node.size or not g.size:
        return jnp.zeros(node.shape, node.dtype)
    pooled = index.primitive == "max_pool2d_index" and index.inputs[0].shape[2:] == node.shape[2:]
    if not pooled or trace.native:
        return _scatter(trace.value(g), trace.value(index), node.shape)
    window, stride = index.attributes["window"], index.attributes["stride"]
    return Image(unpool_windows(trace.image(g), trace.image(index.inputs[0]), window, stride))


def unpool_windows(g: jax.Array, x: jax.Array, window: Any, stride: Any) -> jax.Array:
    """Zeros like x, to which g is added where each window of x has its first maximum, or its first NaN."""
    largest = maxima(x, window, stride)
    zero = jnp.zeros((), g.dtype)
    free = jnp.ones(g.shape, bool)
    dx = None
    for u, v, tap in taps(x, window, stride):
        here = free & ((tap == largest) | (tap != tap))
        free &= ~here
        part = lax.select(here, g, lax.full_like(g, 0))
        amounts = [
            (at, n - at - (s * (count - 1) + 1), s - 1)
            for at, n, s, count in zip((u, v), x.shape[1:3], stride, g.shape[1:3], strict=True)
        ]
        placed = lax.pad(part, zero, [(0, 0, 0), *amounts, (0, 0, 0)])
        dx = placed if dx is None else dx + placed
    assert dx is not None
    return dx


def _planes(shape: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
    """Batch and channel of every element of (batch, channels, elements)."""
    batch, channel = (lax.broadcasted_iota(jnp.int32, shape, axis) for axis in (0, 1))
    return batch, channel


def _scatter(g: jax.Array, index: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    flat = index.reshape(*shape[:2], -1)
    zeros = jnp.zeros((*shape[:2], shape[2] * shape[3]), g.dtype)
    return zeros.at[(*_planes(flat.shape), flat)].add(g.reshape(flat.shape), mode=IN_BOUNDS).reshape(shape)


@lowers("pool_gather2d")
def _pool_gather2d(trace: Trace, node: Tensor) -> jax.Array:
    x, index = (trace.value(t) for t in node.inputs)
    if not node.size:
        return jnp.zeros(node.shape, node.dtype)
    flat = index.reshape(*index.shape[:2], -1)
    found = x.reshape(*x.shape[:2], -1).at[(*_planes(flat.shape), flat)].get(mode=IN_BOUNDS)
    return found.reshape(node.shape)
