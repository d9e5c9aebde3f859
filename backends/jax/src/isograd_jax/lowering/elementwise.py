"""Elementwise primitives; XLA fuses them."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from isograd.graph import FLOATING, Tensor
from isograd_jax.lowering.table import lowers
from isograd_jax.native import NATIVE
from isograd_jax.trace import Image, Trace


def _relu(x: jax.Array) -> jax.Array:
    return lax.max(x, lax.full_like(x, 0))


def _softplus(x: jax.Array) -> jax.Array:
    return jnp.logaddexp(x, lax.full_like(x, 0))


_OPERATIONS: dict[str, Callable[..., jax.Array]] = {
    "neg": lax.neg,
    "exp": lax.exp,
    "log": lax.log,
    "sqrt": lax.sqrt,
    "tanh": lax.tanh,
    "sigmoid": lax.logistic,
    "relu": _relu,
    "softplus": _softplus,
    "abs": lax.abs,
    "sign": lax.sign,
    "stop_gradient": lax.stop_gradient,
    "add": lax.add,
    "sub": lax.sub,
    "mul": lax.mul,
    "div": lax.div,
    "maximum": lax.max,
    "minimum": lax.min,
    "greater": lax.gt,
    "equal": lax.eq,
    "where": lax.select,
}


@lowers(*_OPERATIONS)
def _elementwise(trace: Trace, node: Tensor) -> jax.Array | Image:
    native = NATIVE.get(node.primitive) if trace.native else None
    return apply(trace, node, native or _OPERATIONS[node.primitive])


def apply(trace: Trace, node: Tensor, function: Callable[..., jax.Array]) -> jax.Array | Image:
    """A function of the operands' elements; images with the channels last lead to another."""
    if any(trace.is_image(x) for x in node.inputs):
        return Image(function(*(trace.image(x) for x in node.inputs)))
    return function(*(trace.value(x) for x in node.inputs))


@lowers("pow")
def _pow(trace: Trace, node: Tensor) -> jax.Array | Image:
    exponent = node.attributes["exponent"]
    if exponent == 0:  # the derivative by JAX's formula would be NaN at 0
        return apply(trace, node, lambda x: lax.full_like(x, 1))
    return apply(trace, node, lambda x: lax.pow(x, lax.full_like(x, exponent)))


@lowers("cast")
def _cast(trace: Trace, node: Tensor) -> jax.Array | Image:
    if node.inputs[0].dtype == "bool" and node.dtype in FLOATING:
        # XLA makes a choice of a product with a converted truth value, and so 0 of 0 * NaN; not of this.
        return apply(
            trace, node, lambda x: lax.convert_element_type(lax.convert_element_type(x, "uint8"), node.dtype)
        )
    return apply(trace, node, lambda x: lax.convert_element_type(x, node.dtype))
