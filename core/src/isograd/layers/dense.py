"""Layers in which every unit sees the whole input."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import ClassVar

from isograd.graph.derived import dropout
from isograd.graph.primitives import checks
from isograd.graph.tensor import Shape, Tensor
from isograd.layers import functions
from isograd.layers.base import MaskSpec, Mode, ParameterSpec
from isograd.layers.initialisers import Role
from isograd.layers.simple import flatten
from isograd.layers.validation import example_shape, flag, label, probability, settle, single_input
from isograd.layers.weighted import WeightedLayer


class _Dense(WeightedLayer):
    """n_out weighted inputs x.w + b of the flattened input, with dropout of the input."""

    n_out: int
    p_dropout: float
    inverted: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        name = label(self)
        flag(name, "inverted", self.inverted)
        settle(
            self,
            n_out=checks.whole(name, "n_out", self.n_out, 1),
            p_dropout=probability(name, "p_dropout", self.p_dropout),
        )

    def output_shape(self, input_shape: Shape) -> Shape:
        example_shape(self, input_shape)
        return (self.n_out,)

    def parameters(self, input_shape: Shape) -> Mapping[str, ParameterSpec]:
        n_in = math.prod(example_shape(self, input_shape))
        return self._parameters((n_in, self.n_out), (self.n_out,), fan_in=n_in, fan_out=self.n_out)

    def masks(self, input_shape: Shape) -> Mapping[str, MaskSpec]:
        n_in = math.prod(example_shape(self, input_shape))
        return {"dropout": MaskSpec((n_in,), self.p_dropout)} if self.p_dropout else {}

    def _weighted_input(
        self,
        inputs: tuple[Tensor, ...],
        params: Mapping[str, Tensor],
        mode: Mode,
        masks: Mapping[str, Tensor],
    ) -> Tensor:
        """z, (rows, n_out): (x * mask).w + b in training, (1 - p) * x.w + b in evaluation."""
        x = flatten(single_input(self, inputs, params, mode, masks))
        if self.p_dropout and mode == "train":
            x = dropout(x, masks["dropout"], self.p_dropout, inverted=self.inverted)
        z = x @ params["weight"]
        if self.p_dropout and mode == "evaluate" and not self.inverted:
            z = z * (1 - self.p_dropout)
        return self._plus_bias(z, params)


@dataclass(frozen=True, repr=False)
class FullyConnected(_Dense):
    """A fully connected layer: activation(x.w + b) (Nielsen, chapter 6, `FullyConnectedLayer`).

    The input, of any shape, is flattened. The weight is (n_in, n_out), the bias (n_out,). In training with
    dropout the *input* is multiplied by a mask; in evaluation the weighted input is scaled by 1 - p_dropout
    before the bias is added.

    Parameters
    ----------
    n_out : int
        The number of units.
    activation : str or callable
        "linear", "relu", "sigmoid", "softplus", "tanh", a registered name or a function of a `Tensor`.
    p_dropout : float
        The probability, in [0, 1), that an element of the input is dropped.
    inverted : bool
        Divide what is kept by 1 - p_dropout in training, and leave evaluation alone.
    bias, weight_init, bias_init, name
        As in `WeightedLayer` and `Layer`.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If a field is not as described.
    """

    n_out: int
    activation: str | functions.ActivationFunction = field(
        default="sigmoid", metadata={functions.KIND: "activation"}
    )
    p_dropout: float = 0.0
    _: KW_ONLY
    inverted: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        argument = f"{label(self)}: activation"
        settle(self, activation=functions.as_data("activation", self.activation, argument))

    def build(
        self,
        inputs: tuple[Tensor, ...],
        params: Mapping[str, Tensor],
        state: Mapping[str, Tensor],
        mode: Mode,
        masks: Mapping[str, Tensor],
    ) -> tuple[tuple[Tensor, ...], Mapping[str, Tensor]]:
        z = self._weighted_input(inputs, params, mode, masks)
        return (functions.activate(self.activation, z, f"{label(self)}: activation"),), {}


@dataclass(frozen=True, repr=False)
class Softmax(_Dense):
    """The output layer for n_out classes (Nielsen, chapter 6, `SoftmaxLayer`).

    Its output is the *weighted inputs* z = x.w + b: the network applies softmax, or the log-likelihood, to
    them in a form that does not overflow. Input, dropout and shapes are as in `FullyConnected`. Weight and
    bias start at zero under every named scheme.

    Parameters
    ----------
    n_out : int
        The number of classes.
    p_dropout, inverted, bias, weight_init, bias_init, name
        As in `FullyConnected`.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If a field is not as described.
    """

    n_out: int
    p_dropout: float = 0.0
    _: KW_ONLY
    inverted: bool = False

    _roles: ClassVar[tuple[Role, Role]] = ("softmax", "softmax")

    def build(
        self,
        inputs: tuple[Tensor, ...],
        params: Mapping[str, Tensor],
        state: Mapping[str, Tensor],
        mode: Mode,
        masks: Mapping[str, Tensor],
    ) -> tuple[tuple[Tensor, ...], Mapping[str, Tensor]]:
        return (self._weighted_input(inputs, params, mode, masks),), {}
