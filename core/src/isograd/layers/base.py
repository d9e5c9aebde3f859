"""What a layer spec is: data that declares arrays and builds graph, and knows neither arrays nor backends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from isograd.graph.tensor import Shape, Tensor
from isograd.layers.initialisers import Initialiser

Mode = Literal["train", "evaluate"]


@dataclass(frozen=True)
class ParameterSpec:
    """One trained array of a layer.

    Attributes
    ----------
    shape : tuple of int
    initialiser : Initialiser
        Gives the first values, drawn for the parameter's path.
    fan_in, fan_out : int
        The sizes n_in and n_out that initialisers scale by.
    regularised : bool
        Whether L2 regularisation applies: True for weights, False for biases.
    """

    shape: Shape
    initialiser: Initialiser
    fan_in: int
    fan_out: int
    regularised: bool


@dataclass(frozen=True)
class StateSpec:
    """One array that training updates without a gradient, such as a running mean; it starts as `value`."""

    shape: Shape
    value: float = 0.0


@dataclass(frozen=True)
class MaskSpec:
    """One dropout mask of each training step: bool, (rows, *shape), true with probability 1 - p_dropout."""

    shape: Shape
    p_dropout: float


@dataclass(frozen=True)
class Layer(ABC):
    """A layer spec: a frozen dataclass that compares, hashes, prints and goes into a file as plain data.

    All shapes here are those of one example: the batch axis is left out. `build` sees it, as axis 0.

    Attributes
    ----------
    name : str, optional
        The layer's part of its parameters' paths, in place of its position: it keeps them stable when a layer
        is inserted before it.
    """

    name: str | None = None

    @abstractmethod
    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape of the output for an input shape.

        Raises
        ------
        ShapeError
            If the layer can not take such an input.
        """

    def parameters(self, input_shape: Shape) -> Mapping[str, ParameterSpec]:
        """The trained arrays by name ("weight", "bias"), in the order of the checkpoint."""
        return {}

    def state(self, input_shape: Shape) -> Mapping[str, StateSpec]:
        """The arrays that training updates without a gradient, by name."""
        return {}

    def masks(self, input_shape: Shape) -> Mapping[str, MaskSpec]:
        """The dropout masks that `build` needs in training, by name."""
        return {}

    @abstractmethod
    def build(
        self,
        inputs: tuple[Tensor, ...],
        params: Mapping[str, Tensor],
        state: Mapping[str, Tensor],
        mode: Mode,
        masks: Mapping[str, Tensor],
    ) -> tuple[tuple[Tensor, ...], Mapping[str, Tensor]]:
        """The layer's graph.

        Parameters
        ----------
        inputs : tuple of Tensor
            Each (rows, *input_shape).
        params, state : mapping of str to Tensor
            By the names that `parameters` and `state` declare.
        mode : "train" or "evaluate"
        masks : mapping of str to Tensor
            By the names that `masks` declares; empty in mode "evaluate".

        Returns
        -------
        outputs : tuple of Tensor
            Each (rows, *output_shape).
        new_state : mapping of str to Tensor
            New values of the state; empty where nothing changes.
        """
