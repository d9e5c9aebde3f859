"""Convolutional layers. Images are (channels, height, width), filters OIHW."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from isograd.errors import ArgumentError, ShapeError
from isograd.graph.derived import pad2d
from isograd.graph.primitives import checks, conv2d
from isograd.graph.tensor import Shape, Tensor
from isograd.layers import functions
from isograd.layers.base import Mode, ParameterSpec
from isograd.layers.pooling import POOLING, Pooling
from isograd.layers.validation import choice, image_shape, label, settle, single_input
from isograd.layers.weighted import WeightedLayer


@dataclass(frozen=True, repr=False)
class Convolution(WeightedLayer):
    """A convolutional layer: activation(b + w * x) (Nielsen, chapter 6, equation 125: no kernel flip).

    The weight is (maps, channels / groups, height, width), the bias (maps,).

    Parameters
    ----------
    maps : int
        The number of feature maps.
    window : int or pair of int
        Height and width of the local receptive field.
    stride : int or pair of int
    padding : "valid", "same", int, pair or four of int
        Rows and columns of zeros around the image: none; so many that output = ceil(size / stride), the odd
        one below and to the right (TensorFlow's rule); so many on each side; (vertical, horizontal); (top,
        bottom, left, right).
    dilation : int or pair of int
        The distance between the pixels of a receptive field.
    groups : int
        Map m of M sees only channels of group m // (M / groups).
    activation : str or callable
        As in `FullyConnected`.
    bias, weight_init, bias_init, name
        As in `WeightedLayer` and `Layer`; n_in = channels / groups * height * width and n_out = maps * height
        * width of the window.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If a field is not as described.
    """

    maps: int
    window: int | Sequence[int]
    stride: int | Sequence[int] = (1, 1)
    padding: str | int | Sequence[int] = (0, 0, 0, 0)
    dilation: int | Sequence[int] = (1, 1)
    groups: int = 1
    activation: str | functions.ActivationFunction = field(
        default="linear", metadata={functions.KIND: "activation"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        name = label(self)
        maps = checks.whole(name, "maps", self.maps, 1)
        groups = checks.whole(name, "groups", self.groups, 1)
        if maps % groups:
            raise ArgumentError(f"{name}: maps is {maps}, which can not be divided into {groups} groups")
        settle(
            self,
            maps=maps,
            groups=groups,
            padding=_checked_padding(name, self.padding),
            activation=functions.as_data("activation", self.activation, f"{name}: activation"),
            **self._geometry(),
        )

    def _geometry(self) -> dict[str, tuple[int, int]]:
        name = label(self)
        return {
            "window": checks.pair(name, "window", self.window),
            "stride": checks.pair(name, "stride", self.stride),
            "dilation": checks.pair(name, "dilation", self.dilation),
        }

    def explicit_padding(self, input_shape: Shape) -> tuple[int, int, int, int]:
        """The zeros (top, bottom, left, right) that are put around an image of this shape."""
        _, *sizes = image_shape(self, input_shape)
        padding = _checked_padding(label(self), self.padding)
        if padding != "same":
            return padding
        amounts: list[int] = []
        for size, window, stride, dilation in zip(sizes, *self._geometry().values(), strict=True):
            steps = -(-size // stride) - 1
            total = max(steps * stride + dilation * (window - 1) + 1 - size, 0)
            amounts += [total // 2, total - total // 2]
        top, bottom, left, right = amounts
        return top, bottom, left, right

    def output_shape(self, input_shape: Shape) -> Shape:
        channels, height, width = image_shape(self, input_shape)
        name = label(self)
        if channels % self.groups:
            raise ShapeError(
                f"{name}: the input has shape {(channels, height, width)}, whose {channels} channels can not "
                f"be divided into {self.groups} groups"
            )
        top, bottom, left, right = padding = self.explicit_padding(input_shape)
        padded = f"{name}, after padding {padding}" if any(padding) else name
        size = (height + top + bottom, width + left + right)
        return (self.maps, *checks.windows(padded, size, **self._geometry()))

    def parameters(self, input_shape: Shape) -> Mapping[str, ParameterSpec]:
        self.output_shape(input_shape)
        window = checks.pair(label(self), "window", self.window)
        filters = (self.maps, input_shape[0] // self.groups, *window)
        return self._parameters(
            filters, (self.maps,), fan_in=math.prod(filters[1:]), fan_out=self.maps * math.prod(window)
        )

    def build(
        self,
        inputs: tuple[Tensor, ...],
        params: Mapping[str, Tensor],
        state: Mapping[str, Tensor],
        mode: Mode,
        masks: Mapping[str, Tensor],
    ) -> tuple[tuple[Tensor, ...], Mapping[str, Tensor]]:
        x = single_input(self, inputs, params, mode, masks)
        x = pad2d(x, self.explicit_padding(x.shape[1:]))
        z = conv2d(x, params["weight"], stride=self.stride, dilation=self.dilation, groups=self.groups)
        z = self._plus_bias(z, params)
        return (functions.activate(self.activation, z, f"{label(self)}: activation"),), {}


@dataclass(frozen=True, repr=False)
class ConvPool(WeightedLayer):
    """Convolution and pooling in one (Nielsen, chapter 6, `ConvPoolLayer`): activation(pool(w * x) + b).

    In the order of the listing: the convolution, over whole windows only; pooling, which ignores a border
    that no whole window covers; then the bias; then the activation. The weight is (maps, channels, height,
    width), the bias (maps,).

    Parameters
    ----------
    maps : int
        The number of feature maps.
    window : int or pair of int
        Height and width of the local receptive field.
    poolsize : int or pair of int
        Height and width of the pooling windows, which do not overlap.
    activation : str or callable
        As in `FullyConnected`.
    pooling : "max", "average" or "l2"
        As in `MaxPool`, `AveragePool` and `L2Pool`.
    bias, weight_init, bias_init, name
        As in `WeightedLayer` and `Layer`; n_in = channels * height * width of the window and, as in the
        listing, n_out = maps * height * width // (poolsize[0] * poolsize[1]), but at least 1.

    Raises
    ------
    ArgumentError, ArgumentTypeError
        If a field is not as described.
    """

    maps: int
    window: int | Sequence[int] = (5, 5)
    poolsize: int | Sequence[int] = (2, 2)
    activation: str | functions.ActivationFunction = field(
        default="sigmoid", metadata={functions.KIND: "activation"}
    )
    pooling: Pooling = "max"

    def __post_init__(self) -> None:
        super().__post_init__()
        name = label(self)
        choice(name, "pooling", self.pooling, POOLING)
        settle(
            self,
            maps=checks.whole(name, "maps", self.maps, 1),
            window=checks.pair(name, "window", self.window),
            poolsize=checks.pair(name, "poolsize", self.poolsize),
            activation=functions.as_data("activation", self.activation, f"{name}: activation"),
        )

    def output_shape(self, input_shape: Shape) -> Shape:
        image, name = image_shape(self, input_shape), label(self)
        window = checks.pair(name, "window", self.window)
        poolsize = checks.pair(name, "poolsize", self.poolsize)
        convolved = checks.windows(name, image, window, (1, 1))
        return (self.maps, *checks.windows(f"{name}, pooling", convolved, poolsize, poolsize))

    def parameters(self, input_shape: Shape) -> Mapping[str, ParameterSpec]:
        self.output_shape(input_shape)
        name = label(self)
        filters = (self.maps, input_shape[0], *checks.pair(name, "window", self.window))
        pooled = math.prod(checks.pair(name, "poolsize", self.poolsize))
        return self._parameters(
            filters,
            (self.maps,),
            fan_in=math.prod(filters[1:]),
            fan_out=max(self.maps * math.prod(filters[2:]) // pooled, 1),
        )

    def build(
        self,
        inputs: tuple[Tensor, ...],
        params: Mapping[str, Tensor],
        state: Mapping[str, Tensor],
        mode: Mode,
        masks: Mapping[str, Tensor],
    ) -> tuple[tuple[Tensor, ...], Mapping[str, Tensor]]:
        x = single_input(self, inputs, params, mode, masks)
        z = POOLING[self.pooling](conv2d(x, params["weight"]), window=self.poolsize)
        z = self._plus_bias(z, params)
        return (functions.activate(self.activation, z, f"{label(self)}: activation"),), {}


def _checked_padding(name: str, padding: object) -> Literal["same"] | tuple[int, int, int, int]:
    """Padding in its normal form, in which "valid" is four zeros."""
    if padding == "same":
        return "same"
    given = (0,) if padding == "valid" else padding if isinstance(padding, Sequence) else (padding,)
    if isinstance(given, str) or len(given) not in (1, 2, 4):
        raise ArgumentError(
            f"{name}: padding is {padding!r}; expected 'valid', 'same', one number, (vertical, horizontal) "
            "or (top, bottom, left, right)"
        )
    amounts = [checks.whole(name, "padding", amount, 0) for amount in given]
    if len(amounts) < 4:
        vertical, horizontal = amounts[0], amounts[-1]
        return vertical, vertical, horizontal, horizontal
    top, bottom, left, right = amounts
    return top, bottom, left, right
