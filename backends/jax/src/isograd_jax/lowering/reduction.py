"""Reductions."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from isograd.graph import Tensor
from isograd_jax.lowering.table import lowers
from isograd_jax.native import NATIVE
from isograd_jax.trace import Trace


@lowers("reduce_sum")
def _reduce_sum(trace: Trace, node: Tensor) -> jax.Array:
    x, axes = trace.value(node.inputs[0]), node.attributes["axes"]
    return jnp.sum(x, axes, dtype=node.dtype) if axes else x


@lowers("reduce_max")
def _reduce_max(trace: Trace, node: Tensor) -> jax.Array:
    x, axes = trace.value(node.inputs[0]), node.attributes["axes"]
    if trace.native and axes:
        return NATIVE["reduce_max"](x, axes)
    return jnp.max(x, axes) if axes else x


@lowers("argmax")
def _argmax(trace: Trace, node: Tensor) -> jax.Array:
    return lax.argmax(trace.value(node.inputs[0]), node.attributes["axis"], jnp.int32)


@lowers("logsumexp")
def _logsumexp(trace: Trace, node: Tensor) -> jax.Array:
    x, axes = trace.value(node.inputs[0]), node.attributes["axes"]
    if not axes:
        return x
    if trace.native:
        return NATIVE["logsumexp"](x, axes)
    return logsumexp(x, axes)


def logsumexp(x: jax.Array, axes: Any) -> jax.Array:
    """log(sum(exp(x))) over axes, with the maximum taken out where it is finite."""
    if not all(x.shape[axis] for axis in axes):
        return jnp.full([n for axis, n in enumerate(x.shape) if axis not in axes], -jnp.inf, x.dtype)
    largest = jnp.max(x, axes, keepdims=True)
    shift = jnp.where(jnp.isfinite(largest), largest, jnp.zeros((), x.dtype))
    total = jnp.sum(lax.exp(x - shift), axes)
    return lax.log(total) + jnp.squeeze(shift, axes)
