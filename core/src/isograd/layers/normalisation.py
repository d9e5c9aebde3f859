"""Layers that normalise what passes through them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass

from isograd.errors import ArgumentError, ShapeError
from isograd.graph.primitives import sqrt
from isograd.graph.tensor import Shape, Tensor
from isograd.layers.base import Layer, Mode, ParameterSpec, StateSpec
from isograd.layers.initialisers import Constant
from isograd.layers.validation import example_shape, finite, label, settle, single_input

# The smallest normal number of float32: what is below may round to zero there, and guards nothing.
LEAST_EPSILON = 2.0**-126


@dataclass(frozen=True, repr=False)
class BatchNorm(Layer):
    """Batch normalisation (Ioffe and Szegedy, "Batch normalization", ICML 2015, algorithms 1 and 2).

    Of an image (channels, height, width) each channel is normalised, of a vector (n,) each feature: in
    general, each entry of the input's first axis. With the n values that a channel has in a mini-batch, over
    its rows and pixels (in a smaller last batch too: over the rows that there are), training computes

        mean = sum(x) / n,  variance = sum((x - mean)^2) / n,
        y = (x - mean) * weight / sqrt(variance + epsilon) + bias

    and moves the running statistics towards those of the batch,

        running = (1 - momentum) * running + momentum * batch,

    where the variance of the batch is the unbiased one, sum((x - mean)^2) / (n - 1), as in PyTorch. A batch
    of a single value, n = 1, has none: it leaves the running variance alone. Evaluation puts the running
    statistics in the place of the batch's.

    Parameters "weight" and "bias", (channels,), begin at 1 and 0 whatever the network's scheme, and are not
    regularised. The state "running_mean" and "running_variance", (channels,), begins at 0 and 1.

    A layer before it needs no bias and the activation "linear"; an `Activation` comes after it.

    Parameters
    ----------
    momentum : float
        In (0, 1]: the share of the latest batch in the running statistics. It has nothing to do with the
        momentum of `Network.SGD`.
    epsilon : float
        At least 2**-126, the smallest normal number of float32.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If a field is not as described.
    """

    _: KW_ONLY
    momentum: float = 0.1
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        super().__post_init__()
        name = label(self)
        momentum = finite(name, "momentum", self.momentum)
        if not 0 < momentum <= 1:
            raise ArgumentError(f"{name}: momentum is {momentum}; expected a number in (0, 1]")
        epsilon = finite(name, "epsilon", self.epsilon)
        if epsilon < LEAST_EPSILON:
            raise ArgumentError(f"{name}: epsilon is {epsilon}; expected at least {LEAST_EPSILON}")
        settle(self, momentum=momentum, epsilon=epsilon)

    def output_shape(self, input_shape: Shape) -> Shape:
        sizes = example_shape(self, input_shape)
        if not sizes:
            raise ShapeError(f"{label(self)}: the input has shape (); expected channels or features first")
        return sizes

    def parameters(self, input_shape: Shape) -> Mapping[str, ParameterSpec]:
        shape = self.output_shape(input_shape)[:1]
        return {
            name: ParameterSpec(shape, Constant(value), fan_in=1, fan_out=1, regularised=False)
            for name, value in (("weight", 1.0), ("bias", 0.0))
        }

    def state(self, input_shape: Shape) -> Mapping[str, StateSpec]:
        shape = self.output_shape(input_shape)[:1]
        return {"running_mean": StateSpec(shape), "running_variance": StateSpec(shape, 1.0)}

    def build(
        self,
        inputs: tuple[Tensor, ...],
        params: Mapping[str, Tensor],
        state: Mapping[str, Tensor],
        mode: Mode,
        masks: Mapping[str, Tensor],
    ) -> tuple[tuple[Tensor, ...], Mapping[str, Tensor]]:
        x = single_input(self, inputs, params, mode, masks, state)
        per_channel = (1, x.shape[1], *(1,) * (x.ndim - 2))
        weight, bias = (params[name].reshape(*per_channel) for name in ("weight", "bias"))
        running = {name: state[name] for name in ("running_mean", "running_variance")}
        if mode == "evaluate":
            mean, variance = (array.reshape(*per_channel) for array in running.values())
            return ((x - mean) * (weight / sqrt(variance + self.epsilon)) + bias,), {}
        axes = (0, *range(2, x.ndim))
        n = math.prod(x.shape[axis] for axis in axes)
        mean = x.sum(axes, keepdims=True) / n
        centred = x - mean
        squares = (centred * centred).sum(axes, keepdims=True)
        y = centred * (weight / sqrt(squares / n + self.epsilon)) + bias
        batch = {"running_mean": mean}
        if n > 1:
            batch["running_variance"] = squares / (n - 1)
        return (y,), {
            name: (1 - self.momentum) * running[name] + self.momentum * value.reshape(x.shape[1])
            for name, value in batch.items()
        }
