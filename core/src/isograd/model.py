"""Layers with their arrays, and what they say of data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from isograd import evaluation
from isograd.architecture import Architecture
from isograd.backend import Array, Backend
from isograd.backend_choice import BackendChoice, choose_backend
from isograd.data import Dataset
from isograd.errors import ArgumentError, UnsupportedError
from isograd.graph import Tensor
from isograd.graph.function import check_array
from isograd.graph.tensor import Shape
from isograd.layers import Layer, Mode
from isograd.training.checks import number, whole
from isograd.training.plan import checked_data, checked_shifts

__all__ = ["Arrays", "Data", "Model"]

Arrays = dict[str, npt.NDArray[Any]]
"""Arrays by path."""
Data = Dataset | tuple[npt.ArrayLike, npt.ArrayLike]
"""A data set, or a pair of its inputs and labels."""


class Model:
    """An architecture and its arrays; `Network` makes, trains and keeps one.

    Attributes
    ----------
    architecture : Architecture
    parameters : dict of path to ndarray
        The trained arrays. The path is "LAYER.ARRAY", LAYER the layer's name or position: "0.weight".
    state : dict of path to ndarray
        Arrays that training updates without a gradient.
    """

    architecture: Architecture
    parameters: Arrays
    state: Arrays

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layer specs, in order."""
        return self.architecture.layers

    @property
    def input_shape(self) -> Shape:
        """Of one example."""
        return self.architecture.input_shape

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """The output shape of every layer."""
        return self.architecture.shapes

    @property
    def output_shape(self) -> Shape:
        """The last layer's; for a cost of classes (classes,)."""
        return self.architecture.output_shape

    @property
    def dtype(self) -> str:
        """Of parameters and computation."""
        return self.architecture.dtype

    def summary(self) -> str:
        """A table of the layers, their output shapes and numbers of parameters, as plain text."""
        return self.architecture.summary()

    def forward(
        self,
        x: Tensor,
        params: Mapping[str, Tensor],
        state: Mapping[str, Tensor],
        mode: Mode,
        masks: Mapping[str, Tensor],
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """The graph of the network; see `Architecture.forward`."""
        return self.architecture.forward(x, params, state, mode, masks)

    def adopt(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take copies of the arrays of the parameters' and state's paths; others are ignored."""
        self.parameters = {path: arrays[path].copy() for path in self.architecture.parameters}
        self.state = {path: arrays[path].copy() for path in self.architecture.state}

    def checked_arrays(self) -> Arrays:
        """Parameters and state by path.

        Raises
        ------
        ArgumentError, ArgumentTypeError, ShapeError
            If somebody has put in something that does not belong there; the message names it.
        """
        arrays = self.parameters | self.state
        for path, shape in self.architecture.array_shapes.items():
            if path not in arrays:
                raise ArgumentError(f"parameters: {path} is missing")
            check_array(f"parameters: {path}", arrays[path], shape, self.dtype)
        return {path: arrays[path] for path in self.architecture.array_shapes}

    def predict(
        self, x: npt.ArrayLike | Dataset, *, backend: str | Backend | None = None, shifts: int = 0
    ) -> npt.NDArray[Any]:
        """The class of each example: int32, (n,); of equally likely ones the first.

        Where the cost is of values: what it makes of the outputs (`Cost.predicted`), (n, *output_shape), of
        the network's dtype.

        Parameters
        ----------
        x : array-like (n, *features), or Dataset
            As for training. An array is taken as it is: bytes that were scaled in training need a `Dataset`
            with the same scale here too.
        backend : str or Backend, optional
            As for `isograd.choose_backend`.
        shifts : int
            k: the probabilities, or values, are the mean of those of the (2k + 1)**2 shifts of each image by
            up to k pixels in each direction, zeros moving in. Less than the images' height and width; it
            needs images (channels, height, width), by the network's input_shape or by the data's own.

        Raises
        ------
        ArgumentError, ArgumentTypeError, ShapeError
            If x is no such data or does not fit the network, or shifts is not as described.
        """
        of_classes = self.architecture.cost.targets == "classes"
        return self._predict(x, backend, "class" if of_classes else "predicted", shifts)

    def predict_proba(
        self, x: npt.ArrayLike | Dataset, *, backend: str | Backend | None = None, shifts: int = 0
    ) -> npt.NDArray[Any]:
        """The probability of each class: the softmax, (n, classes), of the network's dtype. See `predict`.

        Raises
        ------
        UnsupportedError
            If the network's cost gives no probabilities of classes.
        """
        if not self.architecture.cost.probabilities:
            raise UnsupportedError(f"the cost {self.architecture.cost!r} gives no probabilities of classes")
        return self._predict(x, backend, "predicted", shifts)

    def accuracy(self, data: Data, *, backend: str | Backend | None = None, shifts: int = 0) -> float:
        """The fraction of a labelled data set whose class `predict`, with as many shifts, gives correctly.

        Raises
        ------
        UnsupportedError
            If the network's cost is of values.
        """
        if self.architecture.cost.targets != "classes":
            raise UnsupportedError(
                f"the cost {self.architecture.cost!r} is of values, which have no accuracy"
            )
        dataset = checked_data(self.architecture, data, "data")
        if checked_shifts(self.architecture, dataset, shifts):
            return evaluation.accuracy(dataset, self.predict(dataset, backend=backend, shifts=shifts))
        choice = choose_backend(backend)
        evaluator = evaluation.Evaluator(self.architecture, dataset, choice, ("class",))
        return evaluator.accuracy(evaluator(self._on_device(choice))["class"])

    def cost(
        self,
        data: Data,
        lmbda: float = 0.0,
        mini_batch_size: int = 1,
        *,
        backend: str | Backend | None = None,
    ) -> float:
        """The mean cost of a labelled data set + 0.5 * lmbda * sum(w^2) / m over the weights of the network.

        Each example's cost is multiplied by its weight, if the data set has some. m = ceil(n /
        mini_batch_size), as in training with that size; with 1 it is n, as in chapter 3.
        """
        dataset, lmbda, batches = self._regularised(data, lmbda, mini_batch_size)
        choice = choose_backend(backend)
        evaluator = evaluation.Evaluator(self.architecture, dataset, choice, ("cost",))
        cost = evaluation.mean_cost(evaluator(self._on_device(choice))["cost"])
        squares = sum(
            float(np.sum(np.square(self.parameters[path], dtype=np.float64)))
            for path, spec in self.architecture.parameters.items()
            if spec.regularised
        )
        return cost + 0.5 * lmbda * squares / batches if lmbda else cost

    def gradients(
        self,
        data: Data,
        lmbda: float = 0.0,
        mini_batch_size: int = 1,
        *,
        backend: str | Backend | None = None,
    ) -> dict[str, npt.NDArray[Any]]:
        """The gradient of `cost`, of the same arguments, with respect to every parameter, by path.

        Dropout is off, as in every evaluation.
        """
        dataset, lmbda, batches = self._regularised(data, lmbda, mini_batch_size)
        choice = choose_backend(backend)
        found = evaluation.gradients(self.architecture, dataset, choice, self._on_device(choice))
        for path, spec in self.architecture.parameters.items():
            if lmbda and spec.regularised:
                found[path] += self.parameters[path] * (lmbda / batches)
        return found

    def _predict(
        self, x: npt.ArrayLike | Dataset, backend: str | Backend | None, wanted: str, shifts: int
    ) -> npt.NDArray[Any]:
        data = evaluation.as_examples(self.architecture, x)
        shifts = checked_shifts(self.architecture, data, shifts)
        choice = choose_backend(backend)
        state = self._on_device(choice)
        return evaluation.predict(self.architecture, data, choice, state, (wanted,), shifts)[wanted]

    def _regularised(self, data: Data, lmbda: float, mini_batch_size: int) -> tuple[Dataset, float, int]:
        """The checked arguments of `cost`: the data set, lmbda, and how many mini-batches m it makes."""
        dataset = checked_data(self.architecture, data, "data")
        lmbda = number("lmbda", lmbda, least=0)
        return dataset, lmbda, -(-len(dataset) // whole("mini_batch_size", mini_batch_size, 1))

    def _on_device(self, choice: BackendChoice) -> dict[str, Array]:
        return evaluation.on_device(self.checked_arrays(), choice)
