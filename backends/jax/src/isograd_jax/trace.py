"""The values of a graph while JAX traces it.

Images lie with the channels last between the operations that prefer that: convolutions, pooling, and whatever
is computed element by element from an image that does. Everything else sees the axes in isograd's order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from isograd.graph import Tensor

CHANNELS_LAST = (0, 2, 3, 1)
CHANNELS_FIRST = (0, 3, 1, 2)


class Image(NamedTuple):
    """A result with the channels last: (batch, rows, columns, channels)."""

    array: jax.Array


class Trace:
    """Values by node, in either order of the axes.

    Parameters
    ----------
    variables : mapping from id of Tensor to array
    platform : str
        "cpu", "gpu" or "tpu": some operations have a way of their own on the CPU.
    native : bool
        Whether JAX will differentiate the operations: those whose own derivative departs from isograd's
        conventions then have one of ours.
    """

    def __init__(self, variables: Mapping[int, jax.Array], platform: str, *, native: bool) -> None:
        self.platform = platform
        self.native = native
        self._plain: dict[int, jax.Array] = dict(variables)
        self._images: dict[int, jax.Array] = {}

    def put(self, node: Tensor, result: jax.Array | Image) -> None:
        """Keep the value of a node."""
        if isinstance(result, Image):
            self._images[id(node)] = result.array
        else:
            self._plain[id(node)] = result

    def value(self, node: Tensor) -> jax.Array:
        """The value, its axes in isograd's order."""
        if id(node) not in self._plain:
            if node.primitive == "constant":
                self._plain[id(node)] = jnp.asarray(node.attributes["value"])
            else:
                self._plain[id(node)] = lax.transpose(self._images[id(node)], CHANNELS_FIRST)
        return self._plain[id(node)]

    def image(self, node: Tensor) -> jax.Array:
        """The value of a node with four axes, with the channels last."""
        if id(node) not in self._images:
            self._images[id(node)] = lax.transpose(self.value(node), CHANNELS_LAST)
        return self._images[id(node)]

    def is_image(self, node: Tensor) -> bool:
        """Whether the value was made with the channels last."""
        return id(node) in self._images and id(node) not in self._plain
