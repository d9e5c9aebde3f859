"""Maxout units."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from isograd.errors import ArgumentError
from isograd.graph import Tensor
from isograd.graph.tensor import Shape
from isograd.layers import Layer, Mode, Normal, ParameterSpec


@dataclass(frozen=True, repr=False)
class Maxout(Layer):
    """n_out units, each the largest of `pieces` weighted inputs x.w + b (Goodfellow, Warde-Farley, Mirza,
    Courville and Bengio, "Maxout networks", ICML 2013, equation 2).

    The input, of any shape, is flattened. The weight is (n_in, n_out * pieces), the bias (n_out * pieces,).

    Parameters
    ----------
    n_out : int
        The number of units.
    pieces : int
        Of how many weighted inputs each takes the largest.

    Raises
    ------
    ArgumentError
        If one of them is less than 1.
    """

    n_out: int
    pieces: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("n_out", "pieces"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ArgumentError(
                    f"Maxout: {name} is {getattr(self, name)!r}; expected an int of at least 1"
                )

    @classmethod
    def examples(cls) -> Iterable[tuple[Layer, Shape]]:
        return (cls(3), (5,)), (cls(2, pieces=3), (2, 2, 2))

    def output_shape(self, input_shape: Shape) -> Shape:
        return (self.n_out,)

    def parameters(self, input_shape: Shape) -> Mapping[str, ParameterSpec]:
        n_in, wide = math.prod(input_shape), self.n_out * self.pieces
        first = Normal(math.sqrt(1 / n_in))
        return {
            "weight": ParameterSpec((n_in, wide), first, fan_in=n_in, fan_out=wide, regularised=True),
            "bias": ParameterSpec((wide,), first, fan_in=n_in, fan_out=wide, regularised=False),
        }

    def build(
        self,
        inputs: tuple[Tensor, ...],
        params: Mapping[str, Tensor],
        state: Mapping[str, Tensor],
        mode: Mode,
        masks: Mapping[str, Tensor],
    ) -> tuple[tuple[Tensor, ...], Mapping[str, Tensor]]:
        (x,) = inputs
        rows = x.shape[0]
        z = x.reshape(rows, -1) @ params["weight"] + params["bias"]
        return (z.reshape(rows, self.n_out, self.pieces).max(2),), {}
