"""Primitives that move elements."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from isograd.graph import Tensor
from isograd_jax.lowering.table import lowers
from isograd_jax.trace import Trace

# The graph's indices have been checked on the host.
IN_BOUNDS = "promise_in_bounds"


@lowers("reshape")
def _reshape(trace: Trace, node: Tensor) -> jax.Array:
    return lax.reshape(trace.value(node.inputs[0]), node.shape)


@lowers("transpose")
def _transpose(trace: Trace, node: Tensor) -> jax.Array:
    return lax.transpose(trace.value(node.inputs[0]), node.attributes["axes"])


@lowers("broadcast_to")
def _broadcast_to(trace: Trace, node: Tensor) -> jax.Array:
    return jnp.broadcast_to(trace.value(node.inputs[0]), node.shape)


@lowers("slice")
def _slice(trace: Trace, node: Tensor) -> jax.Array:
    a = node.attributes
    return lax.slice(trace.value(node.inputs[0]), a["start"], a["stop"], a["step"])


@lowers("pad")
def _pad(trace: Trace, node: Tensor) -> jax.Array:
    x, a = trace.value(node.inputs[0]), node.attributes
    amounts = list(zip(a["low"], a["high"], a["interior"], strict=True))
    return lax.pad(x, jnp.asarray(a["value"], node.dtype), amounts)


@lowers("concat")
def _concat(trace: Trace, node: Tensor) -> jax.Array:
    return lax.concatenate([trace.value(x) for x in node.inputs], node.attributes["axis"])


@lowers("gather")
def _gather(trace: Trace, node: Tensor) -> jax.Array:
    x, indices = (trace.value(t) for t in node.inputs)
    if not node.size:
        return jnp.zeros(node.shape, node.dtype)
    return x.at[indices].get(mode=IN_BOUNDS)


@lowers("scatter_add")
def _scatter_add(trace: Trace, node: Tensor) -> jax.Array:
    updates, indices = (trace.value(t) for t in node.inputs)
    zeros = jnp.zeros(node.shape, node.dtype)
    return zeros.at[indices].add(updates, mode=IN_BOUNDS) if updates.size else zeros


@lowers("iota")
def _iota(trace: Trace, node: Tensor) -> jax.Array:
    return lax.broadcasted_iota(node.dtype, node.shape, node.attributes["axis"])
