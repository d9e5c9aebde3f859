"""Layers without parameters that take an input of any shape."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field

from isograd.graph import derived
from isograd.graph.tensor import Shape, Tensor
from isograd.layers import functions
from isograd.layers.base import Layer, MaskSpec, Mode
from isograd.layers.validation import example_shape, flag, label, probability, settle, single_input


def flatten(x: Tensor) -> Tensor:
    """Each row of x as one axis, in row-major order."""
    return x.reshape(x.shape[0], math.prod(x.shape[1:]))


@dataclass(frozen=True, repr=False)
class Activation(Layer):
    """An activation function by itself, applied to each element.

    Parameters
    ----------
    function : str or callable
        "linear", "relu", "sigmoid", "softplus", "tanh", a registered name or a function of a `Tensor`.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If `function` is unknown or no function.
    """

    function: str | functions.ActivationFunction = field(metadata={functions.KIND: "activation"})

    def __post_init__(self) -> None:
        super().__post_init__()
        argument = f"{label(self)}: function"
        settle(self, function=functions.as_data("activation", self.function, argument))

    def output_shape(self, input_shape: Shape) -> Shape:
        return example_shape(self, input_shape)

    def build(
        self,
        inputs: tuple[Tensor, ...],
        params: Mapping[str, Tensor],
        state: Mapping[str, Tensor],
        mode: Mode,
        masks: Mapping[str, Tensor],
    ) -> tuple[tuple[Tensor, ...], Mapping[str, Tensor]]:
        x = single_input(self, inputs, params, mode, masks)
        return (functions.activate(self.function, x, f"{label(self)}: function"),), {}


@dataclass(frozen=True, repr=False)
class Dropout(Layer):
    """Dropout by itself: x * mask in training, (1 - p_dropout) * x in evaluation.

    Parameters
    ----------
    p_dropout : float
        The probability, in [0, 1), that an element is dropped.
    inverted : bool
        x * mask / (1 - p_dropout) in training, x in evaluation: today's usual form.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If a field is not as described.
    """

    p_dropout: float
    _: KW_ONLY
    inverted: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        name = label(self)
        flag(name, "inverted", self.inverted)
        settle(self, p_dropout=probability(name, "p_dropout", self.p_dropout))

    def output_shape(self, input_shape: Shape) -> Shape:
        return example_shape(self, input_shape)

    def masks(self, input_shape: Shape) -> Mapping[str, MaskSpec]:
        sizes = example_shape(self, input_shape)
        return {"dropout": MaskSpec(sizes, self.p_dropout)} if self.p_dropout else {}

    def build(
        self,
        inputs: tuple[Tensor, ...],
        params: Mapping[str, Tensor],
        state: Mapping[str, Tensor],
        mode: Mode,
        masks: Mapping[str, Tensor],
    ) -> tuple[tuple[Tensor, ...], Mapping[str, Tensor]]:
        x = single_input(self, inputs, params, mode, masks)
        if self.p_dropout and mode == "train":
            x = derived.dropout(x, masks["dropout"], self.p_dropout, inverted=self.inverted)
        elif self.p_dropout and not self.inverted:
            x = x * (1 - self.p_dropout)
        return (x,), {}


@dataclass(frozen=True, repr=False)
class Flatten(Layer):
    """Each example as one axis, in row-major order."""

    def output_shape(self, input_shape: Shape) -> Shape:
        return (math.prod(example_shape(self, input_shape)),)

    def build(
        self,
        inputs: tuple[Tensor, ...],
        params: Mapping[str, Tensor],
        state: Mapping[str, Tensor],
        mode: Mode,
        masks: Mapping[str, Tensor],
    ) -> tuple[tuple[Tensor, ...], Mapping[str, Tensor]]:
        return (flatten(single_input(self, inputs, params, mode, masks)),), {}
