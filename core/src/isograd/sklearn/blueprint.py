"""What the parameters `layers`, `input_shape`, `init` and `cost` of an estimator say together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from isograd.costs import Cost
from isograd.errors import ArgumentError, ArgumentTypeError
from isograd.layers import FullyConnected, InitialiserLike, Layer, Softmax
from isograd.network import Network
from isograd.runs import find_run

DEFAULT_LAYERS = (FullyConnected(100, activation="relu"),)
DEFAULT_INIT = "he"


@dataclass(frozen=True)
class Blueprint:
    """A network whose numbers of inputs and outputs are not known yet.

    Attributes
    ----------
    layers : tuple of Layer
        With or without the output layer.
    input_shape : sequence of int or None
        None: (n_features,).
    init : str, Initialiser or callable
    cost : Cost
    """

    layers: tuple[Layer, ...]
    input_shape: Sequence[int] | None
    init: InitialiserLike
    cost: Cost

    @classmethod
    def of(cls, layers: object, input_shape: Any, init: Any, cost: Any, default_cost: Cost) -> Self:
        """Of the parameters of an estimator, where None stands for what `layers` says, or a default.

        Raises
        ------
        ArgumentTypeError
            If `layers` is neither None, a list nor a text.
        ArgumentError, FileAccessError, FileFormatError
            If there is no such preset or run file, or what it holds is none.
        """
        if layers is None:
            found = cls(DEFAULT_LAYERS, None, DEFAULT_INIT, default_cost)
        elif isinstance(layers, str | os.PathLike):
            try:
                run = find_run(os.fspath(layers))
            except ArgumentError as error:
                raise ArgumentError(f"layers: {error}") from error
            found = cls(run.layers(), run.network.input_shape, run.network.init, run.cost())
        elif isinstance(layers, Sequence):
            found = cls(tuple(layers), None, DEFAULT_INIT, default_cost)
        else:
            raise ArgumentTypeError(
                f"layers is a {type(layers).__name__}; expected layers, a preset, a run file or None"
            )
        given = {"input_shape": input_shape, "init": init, "cost": cost}
        return replace(found, **{name: value for name, value in given.items() if value is not None})

    def check_cost(self, targets: Literal["classes", "values"]) -> None:
        """Refuse a cost of the other kind of targets."""
        if not isinstance(self.cost, Cost):
            raise ArgumentTypeError(f"cost is {self.cost!r}; expected a Cost")
        if self.cost.targets != targets:
            raise ArgumentError(f"cost is {self.cost!r}, of {self.cost.targets}; expected one of {targets}")

    def with_softmax(self, classes: int) -> Self:
        """With an output layer for so many classes.

        Raises
        ------
        ArgumentError
            If there is a last `Softmax`, for another number of classes.
        """
        last = self.layers[-1] if self.layers else None
        if not isinstance(last, Softmax):
            return replace(self, layers=(*self.layers, Softmax(classes)))
        if last.n_out != classes:
            raise ArgumentError(
                f"layers ends in {last!r}, but y has {classes} classes; expected as many, or no Softmax: one "
                "is added"
            )
        return self

    def with_linear_output(self, outputs: int) -> Self:
        """With a linear output layer for so many values.

        Raises
        ------
        ArgumentError
            If the last layer is a `Softmax`, or linear and fully connected with another number of outputs.
        """
        last = self.layers[-1] if self.layers else None
        if isinstance(last, Softmax):
            raise ArgumentError(
                f"layers ends in {last!r}, which is for classes; expected none: a linear layer is added"
            )
        if not (isinstance(last, FullyConnected) and last.activation == "linear"):
            return replace(self, layers=(*self.layers, FullyConnected(outputs, activation="linear")))
        if last.n_out != outputs:
            raise ArgumentError(
                f"layers ends in {last!r}, but y has {outputs} outputs; expected as many, or no linear "
                "layer: one is added"
            )
        return self

    def network(self, features: int, seed: int, dtype: str) -> Network:
        """The network before training, for rows of so many features.

        Raises
        ------
        ArgumentError, ArgumentTypeError, ShapeError
            As `Network`; or if the input shape has another number of elements.
        """
        shape = (features,) if self.input_shape is None else self.input_shape
        network = Network(self.layers, shape, seed, init=self.init, dtype=dtype, cost=self.cost)
        network.architecture.check_features((features,), "X")
        return network
