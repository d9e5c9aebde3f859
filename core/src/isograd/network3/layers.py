"""The layers of the listing: each describes itself to isograd as a spec, and owns its weights and biases."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from isograd import layers as specs
from isograd.errors import ArgumentError, ShapeError
from isograd.graph import FLOATING, argmax, cast, dropout, equal, log_likelihood, sigmoid, softmax, variable
from isograd.graph.primitives import checks
from isograd.graph.tensor import Shape, Tensor
from isograd.layers import functions
from isograd.layers.validation import probability
from isograd.network3.variables import SharedVariable

if TYPE_CHECKING:
    from isograd.network3.network import Network

_FILTER = ("filters", "input feature maps", "filter height", "filter width")
_IMAGE = ("mini-batch size", "input feature maps", "image height", "image width")


class Layer(ABC):
    """What the layers have in common.

    Attributes
    ----------
    w, b : SharedVariable
        They have values from the layer's first network on, drawn as the listing draws them.
    params : list of SharedVariable
        [w, b].
    spec : isograd.Layer
    input_shape : tuple of int
        Of one example.
    output, output_dropout, y_out : Tensor
        Set by the layer's last network, as graph: (mini_batch_size, ...) without and with dropout, and for a
        dense layer the int32 class of each row.
    """

    input_shape: Shape
    output: Tensor
    output_dropout: Tensor

    def __init__(self, spec: specs.Layer, w_shape: Shape, n_out: int) -> None:
        kind = type(self).__name__
        self.spec = spec
        self.w = SharedVariable(f"{kind}: w", w_shape)
        self.b = SharedVariable(f"{kind}: b", (n_out,))
        self.params = [self.w, self.b]

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, w {list(self.w.shape)}>"

    @abstractmethod
    def check_input(self, shape: Shape, mini_batch_size: int, source: str) -> None:
        """Refuse examples of another shape than was declared, in mini-batches of another size.

        `source` is what gives them, for the message.
        """

    def set_outputs(self, z: Tensor, z_dropout: Tensor) -> None:
        """Take what the spec builds, without and with dropout."""
        self.output, self.output_dropout = z, z_dropout


class ConvPoolLayer(Layer):
    """Convolution, max-pooling, then bias and activation: `isograd.ConvPool`.

    Parameters
    ----------
    filter_shape : tuple of int
        (filters, input feature maps, filter height, filter width): the shape of w.
    image_shape : tuple of int
        (mini-batch size, input feature maps, image height, image width).
    poolsize : tuple of int
        Height and width of the pooling windows.
    activation_fn : callable
        `sigmoid`, `tanh`, `ReLU`, `linear` or another function of a `Tensor`.

    Raises
    ------
    ArgumentError, ArgumentTypeError, ShapeError
        If an argument is not as described, or they do not fit together.
    """

    def __init__(
        self,
        filter_shape: Sequence[int],
        image_shape: Sequence[int],
        poolsize: Sequence[int] = (2, 2),
        activation_fn: functions.ActivationFunction = sigmoid,
    ) -> None:
        kind = type(self).__name__
        self.filter_shape = _sizes(kind, "filter_shape", filter_shape, _FILTER)
        self.image_shape = _sizes(kind, "image_shape", image_shape, _IMAGE)
        self.poolsize = _sizes(kind, "poolsize", poolsize, ("height", "width"))
        if self.filter_shape[1] != self.image_shape[1]:
            raise ShapeError(
                f"{kind}: filter_shape {self.filter_shape} has {self.filter_shape[1]} input feature maps, "
                f"image_shape {self.image_shape} has {self.image_shape[1]}"
            )
        self.activation_fn = activation_fn
        self.input_shape = self.image_shape[1:]
        maps, _, *window = self.filter_shape
        activation = functions.as_data("activation", activation_fn, f"{kind}: activation_fn")
        spec = specs.ConvPool(maps, tuple(window), self.poolsize, activation)
        try:
            spec.output_shape(self.input_shape)
        except ShapeError as error:
            raise ShapeError(
                f"{kind}: filter_shape {self.filter_shape} and poolsize {self.poolsize} do not fit "
                f"image_shape {self.image_shape}: {error}"
            ) from None
        super().__init__(spec, self.filter_shape, maps)

    def check_input(self, shape: Shape, mini_batch_size: int, source: str) -> None:
        if len(shape) != 3:
            raise ShapeError(f"{source} gives examples of shape {shape}; expected images")
        expected = (mini_batch_size, *shape)
        if self.image_shape != expected:
            raise ShapeError(
                f"image_shape is {self.image_shape}; in mini-batches of {mini_batch_size}, {source} gives "
                f"{expected}"
            )


class _DenseLayer(Layer):
    """A layer that takes each example as n_in numbers."""

    y_out: Tensor

    def __init__(self, spec: specs.Layer, n_in: int, n_out: int, p_dropout: float) -> None:
        super().__init__(spec, (n_in, n_out), n_out)
        self.n_in, self.n_out, self.p_dropout = n_in, n_out, p_dropout
        self.input_shape = (n_in,)

    def check_input(self, shape: Shape, mini_batch_size: int, source: str) -> None:
        given = math.prod(shape)
        if given != self.n_in:
            factors = f" ({' x '.join(map(str, shape))})" if len(shape) > 1 else ""
            raise ShapeError(f"n_in is {self.n_in}; {source} gives {given}{factors}")

    def set_outputs(self, z: Tensor, z_dropout: Tensor) -> None:
        super().set_outputs(z, z_dropout)
        self.y_out = argmax(z, axis=1)

    def accuracy(self, y: Tensor) -> Tensor:
        """The accuracy on the mini-batch with the labels y, int32 (mini_batch_size,): float32, shape ()."""
        return cast(equal(y, self.y_out), "float32").mean()


class FullyConnectedLayer(_DenseLayer):
    """A fully connected layer, with dropout of its input: `isograd.FullyConnected`.

    Parameters
    ----------
    n_in, n_out : int
        The numbers of inputs and of units; w is (n_in, n_out).
    activation_fn : callable
        As in `ConvPoolLayer`.
    p_dropout : float
        The probability, in [0, 1), that an input is dropped in training.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If an argument is not as described.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        activation_fn: functions.ActivationFunction = sigmoid,
        p_dropout: float = 0.0,
    ) -> None:
        kind = type(self).__name__
        n_in, n_out, p_dropout = _checked_dense(kind, n_in, n_out, p_dropout)
        activation = functions.as_data("activation", activation_fn, f"{kind}: activation_fn")
        super().__init__(specs.FullyConnected(n_out, activation, p_dropout), n_in, n_out, p_dropout)
        self.activation_fn = activation_fn


class SoftmaxLayer(_DenseLayer):
    """The output layer, which starts at zero: `isograd.Softmax`.

    Its `output` and `output_dropout` are the probabilities.

    Parameters
    ----------
    n_in, n_out, p_dropout
        As in `FullyConnectedLayer`; n_out is the number of classes.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If an argument is not as described.
    """

    def __init__(self, n_in: int, n_out: int, p_dropout: float = 0.0) -> None:
        n_in, n_out, p_dropout = _checked_dense(type(self).__name__, n_in, n_out, p_dropout)
        super().__init__(specs.Softmax(n_out, p_dropout), n_in, n_out, p_dropout)

    def set_outputs(self, z: Tensor, z_dropout: Tensor) -> None:
        super().set_outputs(z, z_dropout)
        self.output, self.output_dropout = softmax(z), softmax(z_dropout)
        self._z_dropout = z_dropout

    def cost(self, net: Network) -> Tensor:
        """The log-likelihood cost of the mini-batch `net.x` with the labels `net.y`, with dropout."""
        return log_likelihood(self._z_dropout, net.y).mean()


def dropout_layer(layer: Tensor, p_dropout: float, name: str = "mask") -> Tensor:
    """A layer's values where a mask keeps them, 0 elsewhere, as graph; they are not rescaled.

    Parameters
    ----------
    layer : Tensor
        Floating point.
    p_dropout : float
        In [0, 1): with which probability a value is dropped.
    name : str
        Of the mask, a variable of the graph: bool, of the layer's shape. Random numbers are drawn on the
        host: `isograd.random.keep_mask` gives a mask for this `p_dropout`.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If an argument is not as described.
    """
    checks.tensor("dropout_layer", "layer", layer, FLOATING)
    return dropout(layer, variable(name, layer.shape, "bool"), p_dropout)


def _sizes(kind: str, argument: str, value: object, meaning: tuple[str, ...]) -> tuple[int, ...]:
    """A tuple of positive whole numbers, one for each meaning."""
    if not isinstance(value, tuple | list) or len(value) != len(meaning):
        raise ArgumentError(f"{kind}: {argument} is {value!r}; expected ({', '.join(meaning)})")
    return tuple(checks.whole(kind, argument, number, 1) for number in value)


def _checked_dense(kind: str, n_in: int, n_out: int, p_dropout: float) -> tuple[int, int, float]:
    return (
        checks.whole(kind, "n_in", n_in, 1),
        checks.whole(kind, "n_out", n_out, 1),
        probability(kind, "p_dropout", p_dropout),
    )
