"""The listing's network, which prints what the listing prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from isograd import network
from isograd.backend import Backend
from isograd.data import Dataset
from isograd.errors import ArgumentError, ArgumentTypeError, ShapeError
from isograd.graph import Tensor, variable
from isograd.network3.data import Pair, as_data, part
from isograd.network3.layers import Layer, SoftmaxLayer
from isograd.network3.variables import SharedVariable
from isograd.training import Callback, EpochRecord, History, Progress
from isograd.training.checks import checked_seed, whole
from isograd.training.step import MASK

_ANNOUNCED = 1000


class Network:
    """Layers one after the other, trained in mini-batches of a fixed size.

    Parameters
    ----------
    layers : sequence of layers
        The last a `SoftmaxLayer`. Those that have no weights yet get them; trained ones keep theirs.
    mini_batch_size : int
    seed : int, optional
        From it come the initial weights and the dropout masks, as from that of `isograd.Network`. By default
        NumPy's global generator draws it, from which the listing's weights came: `numpy.random.seed` makes
        the run repeatable.
    backend : str or Backend, optional
        As for `isograd.choose_backend`.

    Attributes
    ----------
    layers : list of layers
    mini_batch_size, seed : int
    params : list of SharedVariable
        The weights and biases of all layers.
    x, y : Tensor
        The inputs of the graph: float32 (mini_batch_size, features) and int32 (mini_batch_size,).
    output, output_dropout : Tensor
        Those of the last layer.
    history : History or None
        Of the last call of `SGD`, with what it has printed.

    Raises
    ------
    ArgumentTypeError, ArgumentError, ShapeError
        If an argument is not as described, or a layer declares another input than the one before it gives.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        mini_batch_size: int,
        *,
        seed: int | None = None,
        backend: str | Backend | None = None,
    ) -> None:
        self.mini_batch_size = whole("mini_batch_size", mini_batch_size, 1)
        self.layers = _checked_layers(layers, self.mini_batch_size)
        self.seed = int(np.random.randint(2**32, dtype=np.uint64)) if seed is None else checked_seed(seed)
        self.backend = backend
        self.params: list[SharedVariable] = [param for layer in self.layers for param in layer.params]
        self._network = network.Network(
            [layer.spec for layer in self.layers], self.layers[0].input_shape, self.seed
        )
        self.history: History | None = None
        self._test: Dataset | None = None
        self._predicted: tuple[list[npt.NDArray[np.float32]], npt.NDArray[np.int32]] | None = None
        self._build()
        for path, param in self._paths.items():
            if not param.has_value:
                param.set_value(self._network.parameters[path])

    def _build(self) -> None:
        """Set x, y and the outputs, here and of the layers."""
        architecture, rows = self._network.architecture, self.mini_batch_size
        features = int(np.prod(architecture.input_shape))
        self.x: Tensor = variable("x", (rows, features), architecture.dtype)
        self.y: Tensor = variable("y", (rows,), "int32")
        read, state = architecture.read(self.x, 1.0), architecture.variables()
        masks = {
            path: variable(MASK + path, (rows, *spec.shape), "bool")
            for path, spec in architecture.masks.items()
        }
        plain, _ = architecture.forward(read, state, state, "evaluate", {})
        dropped, _ = architecture.forward(read, state, state, "train", masks)
        for layer, z, z_dropout in zip(self.layers, plain, dropped, strict=True):
            layer.set_outputs(z, z_dropout)
        self.output = self.layers[-1].output
        self.output_dropout = self.layers[-1].output_dropout

    @property
    def _paths(self) -> dict[str, SharedVariable]:
        """The shared variables by isograd's path, "0.weight" and so on."""
        return dict(zip(self._network.architecture.parameters, self.params, strict=True))

    @property
    def network(self) -> network.Network:
        """The same layers, with their present weights, as isograd's own network, for all that this one lacks.

        It has copies; what is done to them leaves the layers alone.
        """
        self._network.adopt({path: param.get_value(borrow=True) for path, param in self._paths.items()})
        return self._network

    def SGD(  # noqa: N802 (the listing's name)
        self,
        training_data: Pair,
        epochs: int,
        mini_batch_size: int,
        eta: float,
        validation_data: Pair,
        test_data: Pair,
        lmbda: float = 0.0,
    ) -> None:
        """Train by mini-batch stochastic gradient descent, and print what the listing prints.

        As in the listing the examples come in their own order in every epoch, and of all three data sets what
        does not fill a mini-batch is left out. The layers then have the weights of the last epoch.

        Parameters
        ----------
        training_data, validation_data, test_data : pair (x, y)
            Of `load_data_shared`, of `shared`, or of arrays: x (n, *features), y (n,).
        epochs : int
        mini_batch_size : int
            The network's.
        eta : float
            The learning rate.
        lmbda : float
            The strength of L2 regularisation.

        Raises
        ------
        ArgumentError, ArgumentTypeError, ShapeError
            If an argument is not as described; nothing has changed or been printed then.
        NonFiniteError
            As of `isograd.Network.SGD`.
        KeyboardInterrupt
            After Ctrl-C, at the end of the present chunk of steps, whose weights the layers have then.
        """
        rows = whole("mini_batch_size", mini_batch_size, 1)
        if rows != self.mini_batch_size:
            raise ArgumentError(
                f"mini_batch_size is {rows}; the network was made for mini-batches of {self.mini_batch_size}"
            )
        training = as_data(training_data, "training_data")
        validation = self._whole_batches(validation_data, "validation_data")
        test = self._whole_batches(test_data, "test_data")
        report = _Report(len(training) // rows, epochs)
        trained = self.network
        try:
            history = trained.SGD(
                training,
                epochs,
                rows,
                eta,
                validation,
                test,
                lmbda,
                shuffle=False,
                drop_last=True,
                callbacks=[report],
                backend=self.backend,
                progress=False,
            )
            if history.stopped == "interrupted" and trained.training is not None:
                trained.adopt(trained.training.arrays)  # instead of the best, as the listing would have it
        finally:
            for path, param in self._paths.items():
                param.set_value(trained.parameters[path])
        self.history, self._test, self._predicted = history, test, None
        if history.stopped == "interrupted":
            raise KeyboardInterrupt
        report.finish(history)

    def test_mb_predictions(self, i: int) -> npt.NDArray[np.int32]:
        """The class of each example of mini-batch i of the test data, with the present weights: int32.

        The test data are those of the last call of `SGD`.

        Raises
        ------
        ArgumentError, ArgumentTypeError
            If there was none yet, or no such mini-batch.
        """
        if self._test is None:
            raise ArgumentError("test_mb_predictions: SGD, which is given the test data, has not been called")
        index = whole("i", i, 0)
        batches = len(self._test) // self.mini_batch_size
        if index >= batches:
            raise ArgumentError(f"i is {index}; the test data have {batches} mini-batches")
        # The arrays are read-only, so the same ones have the same values.
        values = [param.get_value(borrow=True) for param in self.params]
        if self._predicted is None or any(
            a is not b for a, b in zip(self._predicted[0], values, strict=True)
        ):
            self._predicted = values, self.network.predict(self._test, backend=self.backend)
        first = index * self.mini_batch_size
        return self._predicted[1][first : first + self.mini_batch_size].copy()

    def _whole_batches(self, data: Pair, argument: str) -> Dataset:
        """The data without what does not fill a mini-batch."""
        held = as_data(data, argument)
        rows = len(held) - len(held) % self.mini_batch_size
        if not rows:
            raise ArgumentError(
                f"{argument} has {len(held)} examples; expected at least one mini-batch, "
                f"{self.mini_batch_size}"
            )
        return part(held, slice(rows))


class _Report(Callback):
    """Prints the listing's lines; an epoch has `steps` mini-batches."""

    every = _ANNOUNCED

    def __init__(self, steps: int, epochs: int) -> None:
        self._steps = steps
        self._epochs = epochs

    def on_start(self, progress: Progress) -> None:
        self._announce(0)

    def on_chunk(self, progress: Progress) -> None:
        # What comes after an epoch's last mini-batch is announced after the epoch.
        if progress.step < progress.steps:
            self._announce(progress.epoch * self._steps + progress.step)

    def on_epoch(self, record: EpochRecord) -> None:
        print(f"Epoch {record.epoch}: validation accuracy {record.validation_accuracy:.2%}")
        if record.test_accuracy is not None:
            print("This is the best validation accuracy to date.")
            print(f"The corresponding test accuracy is {record.test_accuracy:.2%}")
        if record.epoch + 1 < self._epochs:
            self._announce((record.epoch + 1) * self._steps)

    def finish(self, history: History) -> None:
        """Print the last lines."""
        best: Any = history.best_epoch
        iteration = (best + 1) * self._steps - 1
        accuracy = history.best_validation_accuracy
        print("Finished training network.")
        print(f"Best validation accuracy of {accuracy:.2%} obtained at iteration {iteration}")
        print(f"Corresponding test accuracy of {history.test_accuracy:.2%}")

    def _announce(self, iteration: int) -> None:
        if iteration % _ANNOUNCED == 0:
            print(f"Training mini-batch number {iteration}")


def _checked_layers(layers: Sequence[Layer], mini_batch_size: int) -> list[Layer]:
    """The layers as a list, each with the input that it declares."""
    if not isinstance(layers, tuple | list) or not layers:
        raise ArgumentTypeError(f"layers is {layers!r}; expected a list of layers")
    shape, source = None, "the input"
    for index, layer in enumerate(layers):
        name = f"layers[{index}]"
        if not isinstance(layer, Layer):
            raise ArgumentTypeError(
                f"{name} is {layer!r}; expected a ConvPoolLayer, FullyConnectedLayer or SoftmaxLayer"
            )
        name = f"{name} ({type(layer).__name__})"
        if any(layer is other for other in layers[:index]):
            raise ArgumentError(f"{name} is in the list twice")
        if isinstance(layer, SoftmaxLayer) != (index == len(layers) - 1):
            raise ArgumentError(f"{name}: expected a SoftmaxLayer as the last layer, and only there")
        try:
            layer.check_input(shape or layer.input_shape, mini_batch_size, source)
        except ShapeError as error:
            raise ShapeError(f"{name}: {error}") from None
        shape, source = layer.spec.output_shape(layer.input_shape), f"layers[{index}]"
    return list(layers)
