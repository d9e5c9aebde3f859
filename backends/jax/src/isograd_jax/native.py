"""Operations for JAX's own differentiation whose derivative would otherwise depart from the conventions.

Forward each is what the lowering does; backward it is the row of isograd's table of conventions (ties, kinks,
NaN and infinities). What is not here has the specified derivative in JAX already.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Pair = tuple[jax.Array, jax.Array]


def _zero(x: jax.Array) -> jax.Array:
    return lax.full_like(x, 0)


@jax.custom_vjp
def relu(x: jax.Array) -> jax.Array:
    """JAX's maximum shares the gradient at 0 between x and 0; here it is 0 there, and at NaN."""
    return lax.max(x, _zero(x))


def _relu_forward(x: jax.Array) -> Pair:
    y = relu(x)
    return y, y


relu.defvjp(_relu_forward, lambda y, g: (lax.select(y > 0, g, _zero(g)),))


@jax.custom_vjp
def absolute(x: jax.Array) -> jax.Array:
    """Derivative sign(x), so 0 at 0."""
    return lax.abs(x)


absolute.defvjp(lambda x: (lax.abs(x), x), lambda x, g: (g * lax.sign(x),))


@jax.custom_vjp
def softplus(x: jax.Array) -> jax.Array:
    """Derivative sigmoid(x), at the infinities too."""
    return jnp.logaddexp(x, _zero(x))


softplus.defvjp(lambda x: (softplus(x), x), lambda x, g: (g * lax.logistic(x),))


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _extremum(a: jax.Array, b: jax.Array, larger: bool) -> jax.Array:
    return lax.max(a, b) if larger else lax.min(a, b)


def _extremum_forward(a: jax.Array, b: jax.Array, larger: bool) -> tuple[jax.Array, Pair]:
    return _extremum(a, b, larger), (a, b)


def _extremum_backward(larger: bool, operands: Pair, g: jax.Array) -> Pair:
    a, b = operands
    half = lax.select(a == b, g * jnp.asarray(0.5, g.dtype), _zero(g))
    of_a, of_b = (a > b, b > a) if larger else (b > a, a > b)
    return lax.select(of_a, g, half), lax.select(of_b, g, half)


_extremum.defvjp(_extremum_forward, _extremum_backward)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def reduce_max(x: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    """Tied maxima share the gradient evenly; where there is a NaN, which equals nothing, it is 0."""
    return jnp.max(x, axes)


def _reduce_max_forward(x: jax.Array, axes: tuple[int, ...]) -> tuple[jax.Array, Pair]:
    y = jnp.max(x, axes)
    return y, (x, y)


def _reduce_max_backward(axes: tuple[int, ...], kept: Pair, g: jax.Array) -> tuple[jax.Array]:
    x, y = kept
    maxima = x == jnp.expand_dims(y, axes)
    share = g / jnp.sum(lax.convert_element_type(maxima, x.dtype), axes)
    return (jnp.where(maxima, jnp.expand_dims(share, axes), 0),)


reduce_max.defvjp(_reduce_max_forward, _reduce_max_backward)


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def logsumexp(x: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    """The gradient is the softmax, and 0 where every element is -inf."""
    from isograd_jax.lowering import reduction

    return reduction.logsumexp(x, axes)


def _logsumexp_forward(x: jax.Array, axes: tuple[int, ...]) -> tuple[jax.Array, Pair]:
    y = logsumexp(x, axes)
    return y, (x, y)


def _logsumexp_backward(axes: tuple[int, ...], kept: Pair, g: jax.Array) -> tuple[jax.Array]:
    x, y = kept
    shift = jnp.where(y == -jnp.inf, _zero(y), y)
    return (lax.exp(x - jnp.expand_dims(shift, axes)) * jnp.expand_dims(g, axes),)


logsumexp.defvjp(_logsumexp_forward, _logsumexp_backward)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def max_pool(x: jax.Array, window: Any, stride: Any) -> jax.Array:
    """The gradient goes to the first maximum of each window, or its first NaN."""
    from isograd_jax.lowering import pooling

    return pooling.maxima(x, window, stride)


def _max_pool_forward(x: jax.Array, window: Any, stride: Any) -> Pair:
    return max_pool(x, window, stride), x


def _max_pool_backward(window: Any, stride: Any, x: jax.Array, g: jax.Array) -> tuple[jax.Array]:
    from isograd_jax.lowering import pooling

    return (pooling.unpool_windows(g, x, window, stride),)


max_pool.defvjp(_max_pool_forward, _max_pool_backward)


NATIVE: dict[str, Callable[..., jax.Array]] = {
    "relu": relu,
    "abs": absolute,
    "softplus": softplus,
    "maximum": lambda a, b: _extremum(a, b, True),
    "minimum": lambda a, b: _extremum(a, b, False),
    "reduce_max": reduce_max,
    "logsumexp": logsumexp,
    "max_pool2d": max_pool,
}
