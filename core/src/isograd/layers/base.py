"""What a layer spec is: data that declares arrays and builds graph, and knows neither arrays nor backends."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Literal

from isograd.errors import ArgumentError, ArgumentTypeError
from isograd.graph.tensor import Shape, Tensor
from isograd.layers.initialisers import Initialiser

Mode = Literal["train", "evaluate"]
"""What a layer's graph is built for."""

# No dot, slash or leading digit: a name is one part of a path, and never taken for a position.
_NAME = re.compile(r"[^\W\d][\w-]*")


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


@dataclass(frozen=True, kw_only=True, repr=False)
class Layer(ABC):
    """A layer spec: a frozen dataclass that compares, hashes, prints and goes into a file as plain data.

    All shapes here are those of one example: the batch axis is left out. `build` sees it, as axis 0.

    Attributes
    ----------
    name : str, optional
        The layer's part of its parameters' paths, in place of its position: it keeps them stable when a layer
        is inserted before it. Letters, digits, underscores and dashes, not beginning with a digit.
    """

    name: str | None = None

    def __post_init__(self) -> None:
        kind = type(self).__name__
        if not isinstance(self.name, str | None):
            raise ArgumentTypeError(f"{kind}: name is {self.name!r}; expected a str or None")
        if self.name is not None and not _NAME.fullmatch(self.name):
            raise ArgumentError(
                f"{kind}: name is {self.name!r}; expected letters, digits, underscores and dashes, "
                "not beginning with a digit"
            )

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in given_fields(self).items())
        return f"{type(self).__name__}({given})"

    @classmethod
    def examples(cls) -> Iterable[tuple[Layer, Shape]]:
        """Specs, each with an input shape that it takes, for the conformance suite; by default none.

        By these it judges every layer that a plugin offers, on every backend.
        """
        return ()

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


def given_fields(spec: Any) -> dict[str, Any]:
    """The fields of a dataclass that differ from their defaults, by name; those by position come first."""
    given: dict[str, Any] = {}
    for field in sorted((f for f in fields(spec) if f.init), key=lambda f: f.kw_only is True):
        value = getattr(spec, field.name)
        default = field.default if field.default_factory is MISSING else field.default_factory()
        if default is MISSING or value != default:
            given[field.name] = value
    return given
