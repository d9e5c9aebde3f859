"""What the layers with a weight and a bias have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from isograd.errors import ArgumentError
from isograd.graph.tensor import Shape, Tensor
from isograd.layers import functions
from isograd.layers.base import Layer, ParameterSpec
from isograd.layers.initialisers import InitialiserLike, Role, SchemeDefault, as_initialiser
from isograd.layers.validation import flag, label, settle


@dataclass(frozen=True, kw_only=True, repr=False)
class WeightedLayer(Layer):
    """A layer with the parameter "weight" and, unless `bias` is False, "bias".

    Attributes
    ----------
    bias : bool
    weight_init, bias_init : str, Initialiser or callable, optional
        Initial values in place of those of the network's scheme: "chapter", "n_in", "glorot", "he", "zeros",
        a registered name, an initialiser such as ``Constant(0.1)``, or a function of (seed, path,
        `ParameterSpec`).
    """

    bias: bool = True
    weight_init: InitialiserLike | None = field(default=None, metadata={functions.KIND: "initialiser"})
    bias_init: InitialiserLike | None = field(default=None, metadata={functions.KIND: "initialiser"})

    _roles: ClassVar[tuple[Role, Role]] = ("weight", "bias")

    def __post_init__(self) -> None:
        super().__post_init__()
        name = label(self)
        flag(name, "bias", self.bias)
        for argument in ("weight_init", "bias_init"):
            value = getattr(self, argument)
            if value is not None:
                settle(self, **{argument: functions.as_data("initialiser", value, f"{name}: {argument}")})
        if self.bias_init is not None and not self.bias:
            raise ArgumentError(f"{name}: bias_init is {self.bias_init!r}, but bias is False")

    def _parameters(self, weight: Shape, bias: Shape, fan_in: int, fan_out: int) -> dict[str, ParameterSpec]:
        """The specs of both, weight first; only the weight is regularised."""
        chosen = {"weight": (weight, self.weight_init, self._roles[0])}
        if self.bias:
            chosen["bias"] = (bias, self.bias_init, self._roles[1])
        return {
            name: ParameterSpec(
                shape=shape,
                initialiser=SchemeDefault(role) if init is None else as_initialiser(init),
                fan_in=fan_in,
                fan_out=fan_out,
                regularised=name == "weight",
            )
            for name, (shape, init, role) in chosen.items()
        }

    def _plus_bias(self, z: Tensor, params: Mapping[str, Tensor]) -> Tensor:
        """z with the bias added along axis 1."""
        if not self.bias:
            return z
        bias = params["bias"]
        return z + bias.reshape(bias.size, *(1,) * (z.ndim - 2))
